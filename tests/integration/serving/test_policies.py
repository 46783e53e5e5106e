"""Policies over real replicas: several versions for one answer, and what their records say."""

import asyncio
import json
import struct
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from serving.inference import FLAG_COMBINED, FLAG_DEFAULT, FLAG_SHADOW
from serving.records import Task
from tests.support.data_plane import Plane, application, plane, python_version, started

SAYS = """
    import time

    def answer(rows):
        time.sleep({sleep})
        return [{output} for _ in rows]
"""
SURE = """
    def answer(rows):
        return [int({score} > 0.5) for _ in rows], [[1 - {score}, {score}] for _ in rows]
"""
ROW = {"input": {"a": 1.0, "b": 2.0}}


async def _ask(
    folder: Path, codes: list[str], policy: dict[str, Any], *, objective: float = 5.0,
    task: Task = "binary", times: int = 1,
) -> tuple[list[dict[str, Any]], Plane, list[Any]]:  # fmt: skip
    """Serve a policy over versions m:1, m:2, ... and ask it."""
    async with AsyncExitStack() as stack:
        queues = {}
        for number, code in enumerate(codes, 1):
            name = f"m:{number}"
            version = python_version(folder, code, name=name, number=number)
            queues[name] = await stack.enter_async_context(started(folder, version))
        of = application(objective=objective, task=task)
        served = await stack.enter_async_context(plane(folder, queues, policy=policy, of=of))
        answers = []
        for _ in range(times):
            answer = await served.client.post("/v1/applications/app/predictions", json=ROW)
            assert answer.status_code == 200, answer.text
            answers.append(answer.json())
        return answers, served, served.records()


def ask(*arguments: Any, **options: Any) -> tuple[list[dict[str, Any]], Plane, list[Any]]:
    return asyncio.run(_ask(*arguments, **options))


def members(count: int) -> list[str]:
    return [f"m:{number}" for number in range(1, count + 1)]


def test_an_ensemble_answers_with_those_that_made_the_deadline(tmp_path: Path) -> None:
    codes = [SAYS.format(sleep=0, output=one) for one in (1, 0, 0)]
    codes.append(SAYS.format(sleep=3, output=1))
    policy = {"kind": "ensemble", "members": members(4), "combine": "vote"}
    [answer], served, records = ask(tmp_path, codes, policy, objective=0.5)
    assert (answer["output"], answer["default"]) == (0, False)
    assert answer["members"] == {"asked": 4, "answered": 3}
    assert abs(answer["agreement"] - 2 / 3) < 1e-5
    assert 400 < answer["latency_ms"] < 1000
    # The common answer stands under the first member's name, and each own answer beside it.
    main = [one for one in records if not one.flags & FLAG_SHADOW]
    assert [(one.version_id, one.flags, one.output) for one in main] == [(1, FLAG_COMBINED, b"0")]
    own = {one.version_id: one.output for one in records if one.flags == FLAG_SHADOW}
    assert own == {1: b"1", 2: b"0", 3: b"0"}
    assert {one.id for one in records} == {main[0].id}
    keys = {(one.predicted_at_us, one.id, one.version_id) for one in records}
    assert len(keys) == len(records)
    assert {one.predicted_at_us // 1000 for one in records} == {main[0].predicted_at_us // 1000}
    counts = served.inference.count("app").members
    assert counts.answered == {"m:1": 1, "m:2": 1, "m:3": 1}
    assert counts.missing == {("m:4", 1): 1}


def test_below_the_stated_agreement_the_default_is_answered(tmp_path: Path) -> None:
    codes = [SAYS.format(sleep=0, output=one) for one in (1, 0)]
    policy = {
        "kind": "ensemble", "members": members(2), "combine": "vote", "min_agreement": 0.7,
    }  # fmt: skip
    [answer], _, records = ask(tmp_path, codes, policy)
    assert (answer["output"], answer["default_reason"]) == (-1, "low_agreement")
    assert answer["members"] == {"asked": 2, "answered": 2}
    assert answer["agreement"] == 0.5
    assert [one.default_reason for one in records if one.flags & FLAG_DEFAULT] == [7]


def test_too_few_members_in_time_answer_the_default(tmp_path: Path) -> None:
    codes = [SAYS.format(sleep=0, output=1), SAYS.format(sleep=3, output=1)]
    policy = {"kind": "ensemble", "members": members(2), "combine": "mean", "min_members": 2}
    [answer], _, _ = ask(tmp_path, codes, policy, objective=0.4)
    assert (answer["output"], answer["default_reason"]) == (-1, "too_few_members")
    assert answer["members"] == {"asked": 2, "answered": 1}


def test_numbers_are_averaged(tmp_path: Path) -> None:
    codes = [SAYS.format(sleep=0, output=one) for one in (1.0, 2.0, 6.0)]
    weights = {"m:1": 1, "m:2": 1, "m:3": 0.5}
    for combine, more, expected in (
        ("mean", {}, 3.0), ("vote", {}, 2.0), ("weighted", {"weights": weights}, 2.4),
    ):  # fmt: skip
        folder = tmp_path / combine
        folder.mkdir()
        policy = {"kind": "ensemble", "members": members(3), "combine": combine, **more}
        [answer], _, _ = ask(folder, codes, policy, task="regression")
        assert abs(answer["output"] - expected) < 1e-12


def test_a_cascade_goes_on_only_where_it_is_not_sure(tmp_path: Path) -> None:
    stages = [{"version": "m:1", "accept_at": 0.8}, {"version": "m:2"}]
    policy = {"kind": "cascade", "stages": stages}
    for name, score, version, asked in (("sure", 0.9, "1", 1), ("unsure", 0.7, "2", 2)):
        folder = tmp_path / name
        folder.mkdir()
        codes = [SURE.format(score=score), SURE.format(score=0.1)]
        [answer], _, records = ask(folder, codes, policy)
        assert (answer["version"], answer["members"]) == (
            version, {"asked": asked, "answered": asked},
        )  # fmt: skip
        assert answer["output"] == (1 if version == "1" else 0)
        flags = sorted((one.version_id, one.flags) for one in records)
        assert flags == ([(1, 0)] if asked == 1 else [(1, FLAG_SHADOW), (2, 0)])


def test_an_unsure_answer_stands_where_the_next_stage_misses_the_deadline(tmp_path: Path) -> None:
    stages = [{"version": "m:1", "accept_at": 0.8}, {"version": "m:2"}]
    codes = [SURE.format(score=0.7), SAYS.format(sleep=3, output=0)]
    policy = {"kind": "cascade", "stages": stages}
    [answer], _, records = ask(tmp_path, codes, policy, objective=0.5)
    assert (answer["version"], answer["output"], answer["default"]) == ("1", 1, False)
    assert answer["members"] == {"asked": 2, "answered": 1}
    assert answer["latency_ms"] < 1000
    assert [one.flags for one in records] == [0]


def test_a_bandits_record_carries_the_probability_of_the_choice(tmp_path: Path) -> None:
    codes = [SAYS.format(sleep=0, output=one) for one in (0, 1, 1)]
    policy = {"kind": "exp3", "arms": members(3), "floor": 0.1}
    answers, _, records = ask(tmp_path, codes, policy, times=40)
    assert {answer["version"] for answer in answers} == {"1", "2", "3"}
    (third,) = struct.unpack("f", struct.pack("f", 1 / 3))
    assert {one.propensity for one in records} == {third}


def test_learned_weights_decide_an_ensemble_before_any_feedback_evenly(tmp_path: Path) -> None:
    codes = [SAYS.format(sleep=0, output=one) for one in (0, 1, 1)]
    [answer], _, records = ask(tmp_path, codes, {"kind": "exp4", "arms": members(3)})
    assert (answer["output"], answer["members"]) == (1, {"asked": 3, "answered": 3})
    assert json.loads(records[0].output or b"") == 1
