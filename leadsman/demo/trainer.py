"""The trainer: a real HTTP server that the monitor's webhook calls; it brings a new version.

It knows the product only from outside: it verifies the delivery's signature, reads labelled rows
from the record, registers what it trained and puts it in the shadow over REST. Whether the new
version is promoted is the monitor's decision; where it does not decide so, the trainer tries again.
"""

import base64
import hashlib
import hmac
import json
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from leadsman.demo import record
from leadsman.demo.events import Story
from leadsman.demo.releases import Releases
from leadsman.demo.training import train_aside
from leadsman.errors import CommandError

WINDOW = 3_000
"""Newest labelled rows that a version is trained on: nine weeks."""

LEAST = 1_000
"""Fewer labelled rows are not trained on."""

PATIENCE = 1_500
"""Labelled rows after which a challenger that was not promoted is replaced by a newer one."""

OLDEST = 300.0
"""Seconds after which a signed delivery is refused as a replay."""

BODY_LIMIT = 1_000_000
LOOK = 0.5
"""Seconds between two looks at the route while a challenger is on trial."""


class BadDeliveryError(Exception):
    """A delivery that is not signed with our secret, or too old."""


@dataclass(slots=True)
class Attempt:
    """One trained challenger and what came of it."""

    version: str
    trained_at_row: int
    rows: int
    offline_error: float
    outcome: str = "on trial"
    """on trial, promoted, not favoured."""
    evidence: dict[str, Any] = field(default_factory=dict)
    """State of the paired test when the attempt ended."""


class Trainer:
    """Waits for alerts about the champion and brings a challenger.

    Parameters
    ----------
    data_dir
        Folder of the service, by which its database is found.
    application
        Whose alerts it answers.
    releases
        Registers versions and puts them into the route.
    story
        Is told what happens.
    row
        Row of the market at present.
    host
        Name under which the monitor reaches this process, where it runs on another host.
    """

    def __init__(
        self,
        data_dir: Path,
        application: str,
        releases: Releases,
        story: Story,
        row: Callable[[], int],
        *,
        host: str | None = None,
    ) -> None:
        self.attempts: list[Attempt] = []
        self.refused = 0
        """Deliveries without a right signature."""
        self._data_dir = data_dir
        self._application = application
        self._releases = releases
        self._story = story
        self._row = row
        self._secret = b""
        self._seen: set[str] = set()
        self._alerts: queue.Queue[dict[str, Any]] = queue.Queue()
        self._stop = threading.Event()
        self._host = host or "127.0.0.1"
        address = "0.0.0.0" if host else "127.0.0.1"
        self._server = ThreadingHTTPServer((address, 0), self._handler())
        self._server.daemon_threads = True
        self._threads = [
            threading.Thread(target=self._server.serve_forever, name="trainer-http"),
            threading.Thread(target=self._work, name="trainer"),
        ]

    @property
    def url(self) -> str:
        """Where the webhook leads."""
        return f"http://{self._host}:{self._server.server_port}/alerts"

    def start(self, secret: str) -> None:
        """Begin to listen; deliveries are signed with this secret."""
        self._secret = signing_key(secret)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End; without effect if it was never started."""
        if not self._threads[0].is_alive():
            self._server.server_close()
            return
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join()

    def deliver(self, headers: dict[str, str], body: bytes) -> None:
        """Take one delivery; the same one twice counts once.

        Raises
        ------
        BadDeliveryError
            If it is not signed with the secret, or old.
        """
        identifier = verify(self._secret, headers, body, now=time.time())
        if identifier not in self._seen:
            self._seen.add(identifier)
            self._alerts.put(json.loads(body))

    def look(self) -> None:
        """See how the trial stands, at the end of the play."""
        if self.attempts and self.attempts[-1].outcome == "on trial":
            attempt = self.attempts[-1]
            if self._releases.champion() == attempt.version:
                attempt.outcome = "promoted"
            attempt.evidence = self._evidence(attempt.version)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        trainer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(min(length, BODY_LIMIT))
                headers = {name.lower(): value for name, value in self.headers.items()}
                try:
                    trainer.deliver(headers, body)
                    status = 204
                except (BadDeliveryError, ValueError):
                    trainer.refused += 1
                    status = 401
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing: the terminal holds the picture."""

        return Handler

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                event = self._alerts.get(timeout=LOOK)
            except queue.Empty:
                event = None
            try:
                if event is not None and self._is_about_champion(event):
                    self._story.tell("webhook: the trainer is called", self._row())
                    self._train()
                elif self.attempts and self.attempts[-1].outcome == "on trial":
                    self._look_at_trial(self.attempts[-1])
            except CommandError as error:
                self._story.tell(f"the trainer failed: {error}", self._row(), grave=True)

    def _is_about_champion(self, event: dict[str, Any]) -> bool:
        """Whether a firing alert is about the loss of what answers now, with no trial going on."""
        if event["type"] != "alert.firing" or event["data"]["kind"] != "loss":
            return False
        if self.attempts and self.attempts[-1].outcome == "on trial":
            return False
        return bool(event["data"]["where"]["versions"] == self._releases.champion())

    def _train(self) -> None:
        inputs, labels = record.read(
            self._data_dir, self._application, lambda one: one.recent(WINDOW)
        )
        row = self._row()
        if len(labels) < LEAST:
            self._story.tell(f"only {len(labels)} labelled rows: too few to train on", row)
            return
        trained = train_aside(inputs, labels)
        name = self._releases.next_version()
        version = self._releases.register(name, trained)
        self._releases.challenge(version, f"trained on the last {trained.rows} labelled rows")
        self.attempts.append(Attempt(version, row, trained.rows, trained.offline_error))
        self._story.tell(
            f"{version} trained on the last {trained.rows} labelled rows, now in the shadow", row
        )

    def _look_at_trial(self, attempt: Attempt) -> None:
        if self._releases.champion() == attempt.version:
            attempt.outcome = "promoted"
            attempt.evidence = self._evidence(attempt.version)
            return
        evidence = self._evidence(attempt.version)
        if evidence.get("labels", 0) < PATIENCE:
            return
        attempt.outcome, attempt.evidence = "not favoured", evidence
        self._story.tell(
            f"the paired test does not favour {attempt.version} after {evidence['labels']} labels "
            f"(evidence {evidence['statistic']:.3g}, needs 1); training again",
            self._row(),
        )
        self._releases.withdraw(attempt.version)
        self._train()

    def _evidence(self, version: str) -> dict[str, Any]:
        """What the paired test has seen of a challenger."""

        async def ask(one: record.Record) -> dict[str, Any]:
            names = await one.versions()
            for state in await one.watch_states():
                new = names.get(state["subject"].split(",")[0])
                if state["detector"] == "paired-promotion" and new == version:
                    return {
                        "labels": state["observations"],
                        "statistic": state["statistic"],
                        "threshold": 1.0,
                        "alarms": state["alarms"],
                    }
            return {}

        return record.read(self._data_dir, self._application, ask)

    @property
    def promoted(self) -> Attempt | None:
        """The first challenger that was promoted."""
        return next((one for one in self.attempts if one.outcome == "promoted"), None)


def signing_key(secret: str) -> bytes:
    """Return the bytes of a secret as Standard Webhooks writes it: `whsec_` and base64."""
    return base64.b64decode(secret.removeprefix("whsec_"))


def verify(secret: bytes, headers: dict[str, str], body: bytes, *, now: float) -> str:
    """Check a delivery's signature and age; return its id.

    Raises
    ------
    BadDeliveryError
        If a header is absent, the delivery is old, or the signature is not ours.
    """
    try:
        identifier, stamp = headers["webhook-id"], headers["webhook-timestamp"]
        signatures = headers["webhook-signature"].split()
        age = abs(now - int(stamp))
    except (KeyError, ValueError) as error:
        raise BadDeliveryError(f"no usable header {error}") from error
    if age > OLDEST:
        raise BadDeliveryError(f"the delivery is {age:.0f} s old")
    signed = f"{identifier}.{stamp}.".encode() + body
    right = "v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest()).decode()
    if not any(hmac.compare_digest(right, given) for given in signatures):
        raise BadDeliveryError("the signature is not made with our secret")
    return identifier
