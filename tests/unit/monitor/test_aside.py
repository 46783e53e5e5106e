"""How many rows may be put aside, and that they come back as they were."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.evaluation.aside import MOST_ASIDE, MOST_UNSEEN, Aside, may_wait, room_of
from monitor.evaluation.detector_state import Subject, new_subject
from monitor.evaluation.evaluate import consume
from monitor.feed.rows import Rows
from monitor.records import Alarm, Json, Watch
from monitor.settings import Mode, Tier
from monitor.watches.resolution import Resolved


def watch_of(
    signal: str = "loss",
    detector: str = "bounded-mean",
    tier: Tier = Tier.PAGE,
    **settings: object,
) -> Watch:
    return Watch(
        1,
        1,
        "mine",
        signal,
        detector,
        tier,
        settings,
        "notify",
        Mode.OBSERVE,
        "operator",
        True,
    )


def armed(parameters: Json, *, signal: str = "loss") -> Subject:
    limited = {"limit": 0.2, "head_start": 0.0, "block": 1} | parameters
    return new_subject(watch_of(signal), signal, "1", Resolved("armed", None, limited))


def rows_of(values: list[float], *, at: int = 0) -> Rows:
    times = np.arange(at, at + len(values)) * 1_000_000
    ids = np.array([b"%016d" % one for one in times], "S16")
    return Rows(np.array(values), times, ids, np.full(len(values), 1e-6))


@pytest.mark.parametrize(
    ("parameters", "fed", "room"),
    [
        ({"block": 5}, 0, 4),
        ({"block": 5}, 3, 1),
        ({"block": 5}, 4, 0),
        ({"block": 5}, 5, 4),
        ({"thin": 5}, 0, 0),
        ({"thin": 5}, 1, 4),
        ({"thin": 5}, 3, 2),
        ({"block": 1}, 3, 0),
        ({"block": 500}, 3, MOST_ASIDE),
        ({"pairs": 2}, 0, 0),
        ({"unit_key": "context.session", "gap": 9}, 0, 0),
    ],
)
def test_the_room_is_what_completes_no_step(parameters: Json, fed: int, room: int) -> None:
    subject = armed(parameters)
    if fed:
        consume(subject, rows_of([0.0] * fed), budget_per_year=1.0)
    assert room_of(subject) == room
    before = subject.detector.steps if subject.detector else 0
    if room and "pairs" not in parameters:
        consume(subject, rows_of([0.0] * room), budget_per_year=1.0)
        assert subject.detector is not None
        assert subject.detector.steps == before


def test_no_row_of_what_learns_is_put_aside_and_any_of_what_is_refused() -> None:
    subject = armed({"block": 5})
    subject.status = "learning"
    assert room_of(subject) == 0
    subject.status = "refused"
    assert room_of(subject) == MOST_ASIDE


def test_watches_of_which_more_than_steps_is_asked_put_nothing_aside() -> None:
    assert may_wait(watch_of())
    assert may_wait(watch_of("feature.*", "ranks", block=5))
    assert not may_wait(watch_of(mature_after=60))
    assert not may_wait(watch_of(unit="context.session"))
    assert not may_wait(watch_of("metric.auc"))
    assert not may_wait(watch_of("challenger_difference", "paired-promotion"))
    assert not may_wait(watch_of("traffic", "quiet"))


def test_what_is_put_aside_is_read_back_and_counted() -> None:
    watch = watch_of("feature.*", "ranks", block=5)
    members = [armed({"block": 5}, signal=f"feature.{name}") for name in ("a", "b")]
    aside = Aside.beside(members)
    signals = ("feature.a", "feature.b")
    first = rows_of([0.0, 1.0])
    first = first.with_values(np.array([[1.0, np.nan], [2.0, 3.0]]))
    assert aside.takes(signals, first.values, 0.0)
    aside.put(signals, first)
    assert aside.observations == 2
    assert aside.granted == pytest.approx(3e-6)
    assert aside.last_observed_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)

    again = Aside.from_record(watch, aside.to_record(1, "1"))
    assert again is not None
    assert again.rows is not None
    np.testing.assert_array_equal(again.rows.values, first.values)
    np.testing.assert_array_equal(again.rows.ids, first.ids)
    np.testing.assert_array_equal(again.rows.grants, first.grants)
    assert (again.room, again.members) == (2, {"feature.a": (2, True), "feature.b": (1, True)})

    more = np.array([[1.0, 2.0]] * 3)
    assert again.takes(signals, more[:2], 0.0)
    assert not again.takes(signals, more, 0.0), "the third completes a step"
    assert not again.takes((*signals, "feature.c"), np.ones((1, 3)), 0.0), (
        "one is met for the first time"
    )
    assert not again.takes(("feature.b", "feature.a"), more[:1], 0.0), "the columns changed"


def family(*blocks: int, tier: Tier = Tier.INFO) -> list[Subject]:
    """Members of which a step is that many rows."""
    watch = watch_of("quality.*", tier=tier)
    made = {"limit": 0.2, "head_start": 0.0}
    return [
        new_subject(
            watch, f"quality.{number}", "1", Resolved("armed", None, made | {"block": block})
        )
        for number, block in enumerate(blocks)
    ]


@pytest.mark.parametrize(
    ("blocks", "tier", "room"),
    [
        ((1, 5), Tier.INFO, 9),
        ((1, 1), Tier.INFO, 9),
        ((10, 20), Tier.INFO, 9),
        ((1, 5), Tier.PAGE, 0),
        ((5, 10), Tier.PAGE, 4),
    ],
)
def test_a_family_that_informs_waits_for_ten_rows(
    blocks: tuple[int, ...], tier: Tier, room: int
) -> None:
    assert Aside.beside(family(*blocks, tier=tier)).room == room


def test_no_row_waits_beside_a_member_that_learns() -> None:
    members = family(1, 1)
    members[0].status = "learning"
    assert Aside.beside(members).room == 0
    assert not Aside.beside(members).waits


@pytest.mark.parametrize(
    ("known", "fed"),
    [
        ([1] * 9, 0),
        ([1] * 10, 10),
        ([1] * 12, 10),
        ([1] * 21, 20),
        ([0, 1] * 9, 0),
        ([0, 1] * 10 + [0], 20),
        ([0] * 70, 70),
    ],
)
def test_which_rows_wait_follows_from_the_values_that_came(known: list[int], fed: int) -> None:
    aside = Aside.beside(family(1, 1))
    signals = ("quality.0", "quality.1")
    one = np.where(np.array(known) == 1, 0.0, np.nan)
    values = np.column_stack([one, np.full(len(known), np.nan)])
    assert aside.until_look(signals, values) == fed
    # In two turns the same rows have been fed after the second.
    for split in range(1, min(len(known), aside.room + 1)):
        again = Aside.beside(family(1, 1))
        rows = rows_of([0.0] * split)
        again.put(signals, rows.with_values(values[:split]))
        later = again.until_look(signals, values[split:])
        assert fed == (split + later if later else 0)


KINDS = {
    "bounded-mean": {"limit": 0.2, "head_start": 0.01, "block": 1},
    "growing-pool": {"centre": 0.2, "head_start": 0.01, "block": 1},
}


@given(
    kind=st.sampled_from(sorted(KINDS)),
    turns=st.lists(
        st.tuples(
            st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.0, 1.0]), min_size=1, max_size=9),
            st.sampled_from([0.0, 1e-6, 1e-3, 0.2, 2.0]),
        ),
        min_size=1,
        max_size=60,
    ),
)
def test_good_news_that_waits_conceals_no_alarm(
    kind: str, turns: list[tuple[list[float], float]]
) -> None:
    parameters = KINDS[kind]
    watch = watch_of("loss", kind)
    whole, waiting = (
        new_subject(watch, "loss", "1", Resolved("armed", None, parameters)) for _ in range(2)
    )
    aside, at = Aside.beside([waiting]), 0
    expected, found = [], []
    for values, grant in turns:
        rows = replace(rows_of(values, at=at), grants=np.full(len(values), grant))
        at += len(values)
        told = consume(whole, rows, budget_per_year=1.0)
        expected += told
        if aside.takes(("loss",), rows.values, float(rows.grants.sum())):
            assert not told, "what was put aside alarms"
            assert max(rows.values) == 0.0
            aside.put(("loss",), rows)
            again = Aside.from_record(watch, aside.to_record(1, "1"))
            assert again is not None
            aside = again
            continue
        fed = rows if aside.rows is None else aside.rows.followed_by(rows)
        found += consume(waiting, fed, budget_per_year=1.0)
        aside = Aside.beside([waiting])
    if aside.rows is not None:
        found += consume(waiting, aside.rows, budget_per_year=1.0)
    assert [_told(one) for one in found] == [_told(one) for one in expected]
    assert waiting.detector is not None
    assert whole.detector is not None
    assert waiting.detector.to_bytes() == whole.detector.to_bytes()
    assert (waiting.statistic, waiting.sums) == (whole.statistic, whole.sums)
    assert waiting.granted == pytest.approx(whole.granted)


def _told(alarm: Alarm) -> tuple[object, ...]:
    return alarm.alarmed_at, alarm.statistic, alarm.observation, alarm.onset_at


def test_good_news_waits_for_twenty_rows_at_most_and_not_where_much_is_granted() -> None:
    subject = armed({"block": 1})
    assert not Aside.beside([subject]).takes(("loss",), np.zeros(1), 0.0), "nothing was tested"
    consume(subject, rows_of([0.0]), budget_per_year=1.0)
    aside = Aside.beside([subject])
    assert aside.takes(("loss",), np.zeros(MOST_UNSEEN), 0.0)
    assert not aside.takes(("loss",), np.zeros(MOST_UNSEEN + 1), 0.0)
    assert not aside.takes(("loss",), np.array([0.0, 1.0]), 0.0)
    assert not aside.takes(("loss",), np.zeros(1), 1.0), "a grant of 1 is an alarm"


@pytest.mark.parametrize(
    "parameters", [{"block": 2}, {"thin": 2, "block": 1}, {"inverted": True, "block": 1}]
)
def test_of_what_is_not_one_row_a_step_below_a_limit_no_good_news_is_known(
    parameters: Json,
) -> None:
    subject = armed(parameters)
    consume(subject, rows_of([0.0] * 5), budget_per_year=1.0)
    assert Aside.beside([subject]).calm is None
