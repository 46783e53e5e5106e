import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import uvloop

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

            async def post(body: Any) -> tuple[httpx.Response, float]:
                begun = time.perf_counter()
                answer = await served.client.post(PATH, json=body)
                return answer, time.perf_counter() - begun

            for rows in (1, 2, 3, 1, 2, 3):
                await asyncio.gather(*(post({"input": [1, n]}) for n in range(rows)))
            before = len(served.records())
            first = asyncio.create_task(post({"input": [1, 1]}))
            await asyncio.sleep(0.01)
            told = await asyncio.gather(*(post({"input": [1, n]}) for n in range(100)))
            refused = [(answer, spent) for answer, spent in told if answer.status_code == 503]
            assert len(refused) > 80
            for answer, spent in refused:
                assert answer.json()["code"] == "overloaded"
                assert int(answer.headers["Retry-After"]) >= 1
                assert spent < OBJECTIVE
            answered = [answer for answer, _ in told if answer.status_code == 200]
            assert len(answered) + len(refused) == 100
            assert (await first)[0].status_code == 200
            assert len(served.records()) == before + len(answered) + 1
            assert served.inference.counts["app"].refused == {"m:1": len(refused)}

            many, _ = await post({"inputs": [[1, n] for n in range(60)]})
            items = many.json()["predictions"]
            assert many.status_code == 200
            assert len(items) == 60
            codes = [item["error"]["code"] for item in items if "error" in item]
            assert set(codes) == {"overloaded"}
            assert 0 < len(codes) < 60

    uvloop.run(run())
