"""One row on its way, from its arrival until it is answered."""

from collections.abc import Callable
from typing import Any

from serving.active_route import ActiveRoute
from serving.batch import Answer
from serving.members import Told
from serving.policies import Choice

Tell = Callable[[Any], None]
"""Who hears of an answer or of an error; must not raise."""


class Request:
    """One row that versions are asked, and the waiter for what they say.

    No task and no future: what follows an answer is done where the answer comes in, so that a
    request costs a handful of calls.
    """

    __slots__ = (
        "at_us", "block", "choice", "context", "id", "on_told", "route", "started", "told",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917  (a call by keywords costs more than the assignments)
        self,
        route: ActiveRoute,
        choice: Choice,
        block: bytes,
        context: bytes | None,
        request_id: bytes,
        at_us: int,
        started: float,
        on_told: "Callable[[Request], None]",
    ) -> None:
        self.route = route
        self.choice = choice
        self.block = block
        self.context = context
        """JSON text of what is kept of it."""
        self.id = request_id
        self.at_us = at_us
        """Arrival, microseconds since 1970."""
        self.started = started
        """Arrival by the clock that measures latency."""
        self.on_told = on_told
        self.told: Told | Exception | None = None
        """What it came to; none as long as it is under way."""

    def done(self) -> bool:
        """Whether it has come to something."""
        return self.told is not None

    def set_result(self, answer: Answer) -> None:
        """Take the answer of the one version that was asked."""
        self.take(Told(self.choice.primary, answer))

    def take(self, told: Told | Exception) -> None:
        """Take what it came to, and go on from there."""
        if self.told is None:
            self.told = told
            self.on_told(self)
