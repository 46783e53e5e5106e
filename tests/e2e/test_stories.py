"""Ten stories of failure, and what the person on call is told in each.

The record is laid as serving ships it, half an hour after half an hour; the monitor that reads it
is the real one with the watches that every application gets. The texts in `tests/data/stories` are
what people would read; with LEADSMAN_WRITE_TEXTS=1 they are written anew.
"""

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.monitoring import rows_of
from tests.support.stories import Model, Story, World

TEXTS = Path(__file__).parent.parent / "data" / "stories"

Telling = Callable[[Story], Awaitable[None]]


async def unit_change(story: Story) -> None:
    """Somebody sends debts in cents."""
    await story.begin()
    await story.live(12)
    await story.live(4, World(debt_unit=100))


async def missing_feature(story: Story) -> None:
    """A join upstream breaks: half of the rows come without debt."""
    await story.begin()
    await story.live(12)
    await story.live(4, World(debt_missing=0.5))


async def flipped_segment(story: Story) -> None:
    """In one region approvals and refusals are mixed up."""
    await story.begin()
    await story.live(0.5)
    await story.watch_segments("context.region")
    await story.live(24)
    await story.live(12, World(flipped_region="south"))


async def slow_drift(story: Story) -> None:
    """The rule behind the labels moves a little every hour."""
    await story.begin()
    await story.live(12)
    await story.live(48, World(wear=lambda hour: np.clip(hour / 96, 0, 1)))


async def daily_cycle(story: Story) -> None:
    """Incomes are higher by day than by night, as they always were."""
    world = World(swing=0.15, rows_an_hour=200)
    await story.begin(world=world, reference=9600)
    await story.live(72, world)


async def bursty_sessions(story: Story) -> None:
    """One customer asks twenty times in a row, as they always did."""
    world = World(burst=20)
    await story.begin(world=world)
    await story.live(48, world)


async def broken_labels(story: Story) -> None:
    """The job that sends labels stops."""
    await story.begin()
    await story.live(24)
    await story.live(24, World(labels=False))


async def latency_regression(story: Story) -> None:
    """Answers take longer than the objective allows."""
    await story.begin()
    await story.live(12)
    await story.live(4, World(latency_ms=110))


async def bad_release(story: Story) -> None:
    """Version 2 errs in two answers of five; version 1 goes on in its shadow."""
    story.models = {1: Model(0.08), 2: Model(0.4)}
    await story.begin()
    await story.live(12)
    await story.release(2, 1)
    await story.live(4)


async def good_release(story: Story) -> None:
    """Version 2 is tried in the shadow of version 1, and is better."""
    story.models = {1: Model(0.2), 2: Model(0.03)}
    await story.begin()
    await story.live(12)
    await story.release(1, 2)
    await story.live(8)


STORIES: dict[str, tuple[Telling, set[str], set[str]]] = {
    # name: what happens, kinds that people must be told of, kinds that may come along
    "unit_change": (unit_change, {"feature.debt"}, {"loss", "quality.debt", "output", "score"}),
    "missing_feature": (missing_feature, {"quality.debt"}, {"loss", "output", "score"}),
    "flipped_segment": (flipped_segment, {"loss"}, set()),
    "slow_drift": (slow_drift, {"loss"}, set()),
    "daily_cycle": (daily_cycle, set(), set()),
    "bursty_sessions": (bursty_sessions, set(), set()),
    "broken_labels": (broken_labels, {"label.coverage"}, {"label.delay"}),
    "latency_regression": (latency_regression, {"service.latency"}, set()),
    "bad_release": (bad_release, {"loss_difference"}, {"loss", "output", "score"}),
    "good_release": (good_release, {"challenger_better"}, set()),
}


def told(story: Story, what: Telling) -> dict[str, str]:
    """Tell a story; the texts of its alerts by kind and segment."""

    async def run() -> dict[str, str]:
        await what(story)
        return await story.texts()

    return asyncio.run(run())


NUMBER = re.compile(r"[0-9][0-9.,:+-]*(?:e[+-][0-9]+)?")
CLOSE, SECONDS = 0.02, 60
"""How far numbers and moments may lie apart: they differ in their last digits from processor to
processor."""


def alike(text: str, kept: str) -> bool:
    """Whether two texts say the same, and name the same numbers but for rounding."""
    text, kept = (re.sub(r"&at=\S+", "", one) for one in (text, kept))
    if NUMBER.sub("#", text) != NUMBER.sub("#", kept):
        return False
    return all(map(_close, NUMBER.findall(text), NUMBER.findall(kept)))


def _close(one: str, other: str) -> bool:
    if one == other:
        return True
    try:
        if ":" in one and ":" in other:
            return abs(_seconds(one) - _seconds(other)) <= SECONDS
        return bool(np.isclose(float(one.strip(".,")), float(other.strip(".,")), rtol=CLOSE))
    except ValueError:
        return False


def _seconds(clock: str) -> int:
    hours, minutes, seconds = (int(part) for part in clock.strip(".,:").split(":"))
    return 3600 * hours + 60 * minutes + seconds


def page(texts: dict[str, str]) -> str:
    """All texts of a story, as they are kept."""
    return "\n".join(texts[kind] for kind in sorted(texts)) or "Nobody was told anything.\n"


@pytest.mark.e2e
@pytest.mark.parametrize("name", list(STORIES))
def test_the_person_on_call_is_told_what_happened(name: str, database: str) -> None:
    what, expected, allowed = STORIES[name]
    texts = told(Story(database), what)
    kinds = {kind.partition("|")[0] for kind in texts}
    assert expected <= kinds <= expected | allowed
    kept = TEXTS / f"{name}.txt"
    if os.environ.get("LEADSMAN_WRITE_TEXTS"):
        kept.write_text(page(texts))
    assert alike(page(texts), kept.read_text()), page(texts)


@pytest.mark.e2e
def test_an_alert_about_latency_resolves_some_time_after_answers_are_quick_again(
    database: str,
) -> None:
    async def run() -> list[dict[str, Any]]:
        story = Story(database)
        await story.begin()
        await story.live(6)
        await story.live(1, World(latency_ms=110))
        await story.live(4)
        return await rows_of(
            database,
            "SELECT a.state, e.detail ->> 'reason' AS reason FROM alerts a JOIN alert_events e"
            " ON e.alert_id = a.id AND e.event = 'resolved' WHERE a.kind = 'service.latency'",
        )

    (ended,) = asyncio.run(run())
    assert ended["state"] == "resolved"
    assert "each show that the share of late answers is below 5 %" in ended["reason"]
