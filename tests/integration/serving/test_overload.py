import asyncio
import random
import struct
from pathlib import Path
from typing import Any

import httpx
import uvloop

from serving.batching import Outcome
from tests.support.data_plane import application, plane, python_version, started

PATH = "/v1/applications/app/predictions"
TENTH = "import time\ndef answer(rows):\n    time.sleep(.02 * len(rows))\n    return rows[:, 0]"
OBJECTIVE = 0.2


def test_what_would_come_too_late_gets_503_at_once_and_leaves_no_record(tmp_path: Path) -> None:
    async def run() -> None:
        of = python_version(tmp_path, TENTH)
        async with (
            started(tmp_path, of) as queue,
            plane(tmp_path, {"m:1": queue}, of=application(objective=OBJECTIVE)) as served,
        ):

            async def post(body: Any) -> httpx.Response:
                # How soon a refusal is told is measured by benchmarks/overload.py.
                return await served.framework.post(PATH, json=body)

            for rows in (1, 2, 3, 1, 2, 3):
                await asyncio.gather(*(post({"input": [1, n]}) for n in range(rows)))
            before = len(served.records())
            first = asyncio.create_task(post({"input": [1, 1]}))
            await asyncio.sleep(0.01)
            told = await asyncio.gather(*(post({"input": [1, n]}) for n in range(100)))
            refused = [answer for answer in told if answer.status_code == 503]
            assert len(refused) > 80
            for answer in refused:
                assert answer.json()["code"] == "overloaded"
                assert int(answer.headers["Retry-After"]) >= 1
            answered = [answer for answer in told if answer.status_code == 200]
            assert len(answered) + len(refused) == 100
            assert (await first).status_code == 200
            assert len(served.records()) == before + len(answered) + 1
            assert served.inference.counts["app"].refused == {"m:1": len(refused)}

            many = await post({"inputs": [[1, n] for n in range(60)]})
            items = many.json()["predictions"]
            assert many.status_code == 200
            assert len(items) == 60
            codes = [item["error"]["code"] for item in items if "error" in item]
            assert set(codes) == {"overloaded"}
            assert 0 < len(codes) < 60

    uvloop.run(run())


DEAR = (
    "import time\ndef answer(rows):\n    time.sleep(.005 + .002 * len(rows))\n    return rows[:, 0]"
)
CAPACITY = 430.0
"""Rows a second in batches of twenty, which the objective allows two of, one after the other."""


def test_at_twice_the_capacity_batches_stay_large_and_what_is_let_in_is_in_time(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with started(tmp_path, python_version(tmp_path, DEAR)) as queue:
            loop, chance = asyncio.get_running_loop(), random.Random(5)
            block = struct.pack("<2d", 1.0, 2.0)
            for rows in (1, 2, 4, 8, 8, 8):
                await asyncio.gather(*(queue.submit(block, loop.time() + 10) for _ in range(rows)))
            answered: list[float] = []
            late: list[float] = []
            before, began = queue.cost.observed, loop.time()

            def note(done: asyncio.Future[Any], asked: float) -> None:
                if done.result().outcome is not Outcome.OVERLOADED:
                    in_time = done.result().outcome is Outcome.ANSWERED
                    (answered if in_time else late).append(loop.time() - asked)

            due = began
            while due < began + 3.0:
                due += chance.expovariate(2 * CAPACITY)
                await asyncio.sleep(max(0.0, due - loop.time()))
                asked = loop.time()
                future = queue.submit(block, asked + 0.1)
                future.add_done_callback(lambda done, asked=asked: note(done, asked))  # type: ignore[misc]  # bound now
            await asyncio.sleep(0.2)
            # Batches of seven, as they once came to be here, answer 85 % of what these do.
            assert len(answered) / (queue.cost.observed - before) > 9
            assert len(answered) > 0.8 * 3.0 * CAPACITY
            assert len(late) < 0.03 * len(answered)

    uvloop.run(run())
