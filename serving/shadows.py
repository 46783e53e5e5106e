"""Shadows: versions that are asked beside the one that answers, and delay nobody."""

import asyncio
import time
from datetime import timedelta
from functools import partial

from serving.batch import Answer, Outcome
from serving.members import Voice
from serving.recording import Recorder
from serving.request import Request

SHADOW_DEADLINE = 30.0
"""Seconds in which a shadow may answer: it has no caller, and a pair is worth the wait."""


class Shadows:
    """Asks shadows and has their answers recorded.

    Parameters
    ----------
    recorder
        Takes the answers, and counts those that are lost.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._asked = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def ask(self, asked: Request, shadow: str) -> None:
        """Ask a shadow; its answer is recorded when it comes, and delays nobody."""
        objective = asked.route.objective
        deadline = asyncio.get_running_loop().time() + max(SHADOW_DEADLINE, objective)
        self._asked += 1
        self._idle.clear()
        future = asked.route.queues[shadow].submit(asked.block, deadline, background=True)
        future.add_done_callback(partial(self._record, asked, shadow))

    def _record(self, asked: Request, shadow: str, future: "asyncio.Future[Answer]") -> None:
        self._asked -= 1
        if not self._asked:
            self._idle.set()
        answer, route = future.result(), asked.route
        name = route.application.name
        if answer.outcome is not Outcome.ANSWERED:
            self._recorder.lose(name, shadow, int(answer.outcome), answer.error)
            return
        voice = Voice(shadow, answer, time.perf_counter() - asked.started)
        self._recorder.record_beside(asked, voice, asked.at_us)

    async def settle(self, within: timedelta) -> bool:
        """Wait until every shadow that was asked is recorded or lost; False if time ran out."""
        try:
            async with asyncio.timeout(within.total_seconds()):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
