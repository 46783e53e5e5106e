"""What happened, in order, for the picture and for the summary."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the story."""

    seconds: float
    """Since the start of the play."""
    row: int | None
    text: str
    grave: bool = False


class Story:
    """Events from several threads, each told once."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._events: list[Event] = []
        self._listener: Callable[[Event], None] | None = None

    def listen(self, listener: Callable[[Event], None]) -> None:
        """Tell every event from now on to somebody, too."""
        self._listener = listener

    def tell(self, text: str, row: int | None = None, *, grave: bool = False) -> None:
        """Add an event."""
        event = Event(self._clock() - self._began, row, text, grave)
        with self._lock:
            self._events.append(event)
        if self._listener is not None:
            self._listener(event)

    def last(self, count: int) -> list[Event]:
        """Return the newest events, oldest of them first."""
        with self._lock:
            return self._events[-count:]
