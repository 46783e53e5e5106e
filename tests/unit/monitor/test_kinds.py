"""Which alert explains which."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitor.alerts.kinds import GRAVITY, KINDS, explains, inhibitors, sort_of
from monitor.alerts.states import silence_of
from monitor.records import Alert, Silence
from monitor.settings import Tier

AT = datetime(2026, 11, 2, tzinfo=UTC)
MEMBERS = {"feature": ".area", "quality": ".area", "metric": ".f1"}

alerts = st.lists(
    st.builds(
        lambda kind, tier, state, subject, number: Alert(
            number, 1, subject, kind + MEMBERS.get(kind, ""), tier, state, "", {}, AT, AT, None
        ),
        st.sampled_from(KINDS),
        st.sampled_from(list(Tier)),
        st.sampled_from(["pending", "firing", "acknowledged", "resolved"]),
        st.sampled_from(["2", "2,1", "1", "2|region=EU", "2|region=US"]),
        st.integers(1, 10_000),
    ),
    max_size=12,
    unique_by=lambda alert: alert.id,
)


@given(alerts)
def test_somebody_is_told_of_every_cause(found: list[Alert]) -> None:
    chosen = inhibitors(found)
    by_id = {alert.id: alert for alert in found}
    for number in chosen:
        # From any alert the explanations lead to one that is told, without a circle.
        seen = set()
        worst: int | None = number
        while worst is not None:
            assert worst not in seen
            seen.add(worst)
            last, worst = worst, chosen[worst]
        if last != number:
            assert by_id[last].state in ("firing", "acknowledged")
            assert GRAVITY[by_id[last].tier] >= GRAVITY[by_id[number].tier]


@given(alerts)
def test_nothing_that_has_ended_explains_or_is_explained(found: list[Alert]) -> None:
    ended = {alert.id for alert in found if alert.state == "resolved"}
    chosen = inhibitors(found)
    assert not ended & chosen.keys()
    assert not ended & set(chosen.values())


def test_a_missing_feature_explains_its_own_drift_alone() -> None:
    worse = Alert(1, 1, "2", "quality.area", Tier.PAGE, "firing", "", {}, AT, AT, None)
    same = replace(worse, id=2, kind="feature.area", tier=Tier.INFO)
    assert explains(worse, same)
    assert not explains(worse, replace(same, kind="feature.rooms"))
    assert not explains(worse, replace(same, subject="1"))


def test_a_kind_is_sorted_by_its_family() -> None:
    assert [sort_of(k) for k in ("feature.a.b", "service.latency", "loss")] == [
        "feature",
        "service.latency",
        "loss",
    ]


def test_a_silence_about_a_family_holds_back_its_members() -> None:
    later = datetime(2026, 11, 3, tzinfo=UTC)
    short = Silence(1, 1, "feature", later, "me", "moving", AT)
    assert silence_of([short], "feature.area", AT) == short
    assert silence_of([short], "features", AT) is None
    assert silence_of([short], "feature.area", later) is None
    longer = replace(short, id=2, kind=None, until=later + timedelta(hours=1))
    assert silence_of([longer, short], "feature.area", AT) == longer
