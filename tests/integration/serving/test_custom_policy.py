"""A policy of somebody else's, named by its import path: it answers, and its faults are its own."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import uvloop

from serving.policies.base import Choice, Combined, MemberAnswer
from tests.support.data_plane import plane, python_version, started

PATH = "/v1/applications/app/predictions"
SLOW = "import time\n\ndef answer(rows):\n    time.sleep(0.1)\n    return rows[:, 0]"


class Whims:
    """Does what the context says: well or not."""

    def __init__(self, version: str) -> None:
        self._version = version

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose by the mood."""
        mood = (context or {}).get("mood")
        if mood == "raises":
            raise RuntimeError("no choice today")
        if mood == "stranger":
            return Choice("m:99")
        if mood == "combines":
            return Choice(self._version, members=(self._version,) * 2, combination=Refusing())
        return Choice(self._version, 0.25)

    def versions(self) -> tuple[str, ...]:
        """The one."""
        return (self._version,)


class Refusing:
    """Makes nothing of any answers."""

    def combine(self, answers: Sequence[MemberAnswer | None], *, numeric: bool) -> Combined:
        """Raise."""
        raise ZeroDivisionError


def test_its_faults_cost_its_own_requests_and_no_others_of_the_batch(tmp_path: Path) -> None:
    async def run() -> None:
        policy = {"kind": "custom", "class": f"{__name__}:Whims", "version": "m:1"}
        async with (
            started(tmp_path, python_version(tmp_path, SLOW)) as queue,
            plane(tmp_path, {"m:1": queue}, policy=policy) as on,
        ):
            moods = ("good", "raises", "stranger", "combines", "good") * 4
            answers = await asyncio.gather(*(
                on.client.post(PATH, json={"input": [n, 0], "context": {"mood": mood}})
                for n, mood in enumerate(moods)
            ))  # fmt: skip
            for number, (mood, answer) in enumerate(zip(moods, answers, strict=True)):
                if mood == "good":
                    assert answer.status_code == 200
                    assert answer.json()["output"] == number
                else:
                    assert answer.status_code == 500
                    assert answer.json()["code"] == "internal_error"
            assert {record.propensity for record in on.records()} == {0.25}
            assert len(on.records()) == moods.count("good")
            many = await on.client.post(
                PATH, json={"inputs": [[1, 0], [2, 0]], "context": {"mood": "combines"}}
            )
            assert many.status_code == 500

    uvloop.run(run())
