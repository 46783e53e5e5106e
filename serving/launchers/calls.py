"""Blocking calls of a client's library, made from an event loop."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

THREADS = 8
"""Calls under way at once."""


class Calls(ABC):
    """Whom a launcher works through, asked in threads of a pool of its own.

    One that hangs holds up nothing but itself. Every failure comes back as one of two errors:
    nobody answers, or the answer is no.
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix=name)

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something and wait for it.

        Raises
        ------
        LauncherUnavailableError
            If nobody answers.
        StartRefusedError
            If the answer is no.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._pool, lambda: self.translated(work, *args, **kwargs)
        )

    def begin(self, work: Callable[[], T]) -> Future[T]:
        """Do something that nobody waits for here."""
        return self._pool.submit(self.translated, work)

    def translated(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do something in this thread; raises as `call` does."""
        try:
            return work(*args, **kwargs)
        except Exception as error:
            if (ours := self._in_our_words(error)) is None:
                raise
            raise ours from error

    @abstractmethod
    def _in_our_words(self, error: Exception) -> OSError | None:
        """One of the two errors above; none for one that stays what it is."""
