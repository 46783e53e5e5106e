"""The demo's first act alone: its service, both versions and its traffic, for who looks on."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from leadsman.demo.market import RELEASE_ROW, TRAINED_ON, load
from leadsman.demo.releases import Releases
from leadsman.demo.run import settings
from leadsman.demo.service import Service
from leadsman.demo.traffic import APPLICATION, Traffic
from leadsman.demo.training import in_wrong_unit, train


class Stage:
    """A running service on which `market:v1` answers.

    Parameters
    ----------
    service
        It runs.
    speed
        Rows a second.
    until
        Row before which the traffic ends.
    """

    def __init__(self, service: Service, *, speed: float, until: int) -> None:
        market = load()
        self.service = service
        self.releases = Releases(service.connection, APPLICATION)
        self.releases.make_application()
        inputs, labels = market.inputs[:TRAINED_ON], market.labels[:TRAINED_ON]
        self.first = self.releases.register("v1", train(inputs, labels))
        self.bad = self.releases.register("v2", train(in_wrong_unit(inputs), labels))
        self.releases.serve({"kind": "single", "champion": self.first}, "the first version")
        connection = service.connection
        self.traffic = Traffic(market, connection, speed=speed, first=TRAINED_ON, last=until)
        self.traffic.at(RELEASE_ROW, self._release)
        self._sender = threading.Thread(target=self.traffic.run, name="traffic")

    def begin(self) -> None:
        """Let the traffic flow; the bad version is released on its way."""
        self._sender.start()

    def finish(self) -> None:
        """Wait until all of it was sent.

        Raises
        ------
        Exception
            Whatever ended the traffic before its time.
        """
        self._sender.join()
        if self.traffic.error is not None:
            raise self.traffic.error

    def close(self) -> None:
        """End the traffic, also half way."""
        self.traffic.stop.set()
        if self._sender.is_alive():
            self._sender.join()
        self.releases.close()

    def _release(self) -> None:
        policy = {"kind": "shadow", "champion": self.bad, "challengers": [self.first]}
        self.releases.serve(policy, "a new version, trained on data with the price in another unit")


@contextmanager
def staged(
    data_dir: Path, *, speed: float, until: int, extra: Mapping[str, str] | None = None
) -> Iterator[Stage]:
    """Run the service with the demo's settings and some of one's own; stop everything after."""
    service = Service(data_dir, None, None, {**settings(speed), **(extra or {})})
    try:
        service.start()
        stage = Stage(service, speed=speed, until=until)
        try:
            yield stage
        finally:
            stage.close()
    finally:
        service.stop()
