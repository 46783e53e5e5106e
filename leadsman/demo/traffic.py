"""The client: sends rows at a speed over HTTP, and each label one day of rows later."""

import json
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from leadsman.client import refusal
from leadsman.connection import Connection
from leadsman.demo.market import LABEL_DELAY, Market

APPLICATION = "electricity"

MOST_AT_ONCE = 64
"""Rows in one request, where the client has fallen behind its speed."""

PATIENCE = 60.0
"""Seconds that a request is tried again while the service does not answer."""


class Traffic:
    """Sends rows `first` to `last` - 1; run `run` in a thread of its own.

    Parameters
    ----------
    market
        The rows.
    connection
        Where to send them.
    speed
        Rows a second.
    first, last
        Which rows.
    """

    def __init__(
        self, market: Market, connection: Connection, *, speed: float, first: int, last: int
    ) -> None:
        self.market = market
        self.speed = speed
        self.first = first
        self.last = last
        self.sent = 0
        """Answers that reached this client."""
        self.labelled = 0
        """Labels that the service acknowledged."""
        self.ids: list[str] = []
        """Prediction of row `first` + index."""
        self.row_of: dict[str, int] = {}
        self.error: Exception | None = None
        """What ended the sending before its time."""
        self.stop = threading.Event()
        self._stops: dict[int, Callable[[], None]] = {}
        # One keep-alive connection of the standard library: a client that costs little, since it
        # shares the machine with everything that it calls.
        parts = urlsplit(connection.serving_url)
        self._http = HTTPConnection(str(parts.hostname), parts.port, timeout=30.0)
        self._headers = {
            "Authorization": f"Bearer {connection.key}",
            "Content-Type": "application/json",
        }

    @property
    def row(self) -> int:
        """Next row to be sent."""
        return self.first + len(self.ids)

    def at(self, row: int, action: Callable[[], None]) -> None:
        """Do something before a row is sent; the market's clock stands still meanwhile."""
        self._stops[row] = action

    def run(self) -> None:
        """Send everything; the labels of the last day too."""
        try:
            self._send()
        except Exception as error:
            self.error = error
        finally:
            self._http.close()

    def _send(self) -> None:
        began, held = time.monotonic(), 0.0
        while self.row < self.last and not self.stop.is_set():
            if (action := self._stops.pop(self.row, None)) is not None:
                pause = time.monotonic()
                action()
                held += time.monotonic() - pause
            next_stop = min((row for row in self._stops if row > self.row), default=self.last)
            due = self.first + int((time.monotonic() - began - held) * self.speed)
            until = min(due, self.row + MOST_AT_ONCE, next_stop, self.last)
            if until <= self.row:
                time.sleep(
                    max((len(self.ids) + 1) / self.speed - (time.monotonic() - began - held), 0)
                )
                continue
            self._predict(self.row, until)
            self._label(self.row - LABEL_DELAY)
        self._label(self.row)

    def _predict(self, start: int, stop: int) -> None:
        path = f"/v1/applications/{APPLICATION}/predictions"
        rows = [self.market.row(number) for number in range(start, stop)]
        if len(rows) == 1:
            answers = [self._post(path, {"input": rows[0]})]
        else:
            answers = self._post(path, {"inputs": rows})["predictions"]
        for row, answer in enumerate(answers, start):
            # An item that failed carries an error in place of an answer; the demo sends none such.
            self.ids.append(answer["id"])
            self.row_of[answer["id"]] = row
        self.sent += len(answers)

    def _label(self, before: int) -> None:
        """Report the labels of all rows before this one that are not reported yet."""
        start = self.first + self.labelled
        for begin in range(start, before, 1_000):
            feedback = [
                {
                    "prediction_id": self.ids[row - self.first],
                    "label": int(self.market.labels[row]),
                }
                for row in range(begin, min(begin + 1_000, before))
            ]
            self._post("/v1/feedback", {"feedback": feedback})
            self.labelled += len(feedback)

    def _post(self, path: str, body: object) -> Any:
        """Post until the service answers: a part of it may just be starting again."""
        until = time.monotonic() + PATIENCE
        content = json.dumps(body).encode()
        while True:
            try:
                self._http.request("POST", path, content, self._headers)
                response = self._http.getresponse()
                answer = response.read()
            except (OSError, HTTPException):
                # The connection is made again with the next request.
                self._http.close()
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
                continue
            if response.status < 300:
                return json.loads(answer)
            if response.status != 503 or time.monotonic() > until:
                raise refusal(response.status, path, answer)
            time.sleep(0.1)
