"""How many segments each tier tests by themselves; it is said what becomes of the rest."""

from pathlib import Path

import pytest

from monitor.errors import InvalidRequestError, InvalidWatchFileError
from monitor.records import Json
from monitor.watches.entries import WatchEntry
from monitor.watches.file import read_watch_file
from tests.support.past_rows import made_rows
from tests.unit.monitor.test_ways_to_watch import replayed

BY_SHOP: Json = {"by": "context.shop"}


def in_shops(tmp_path: Path, shops: int, watch: Json) -> dict[str, Json]:
    rows = made_rows(3000)
    rows["context.shop"] = [f"s{row % shops:02d}" for row in range(3000)]
    report = replayed(tmp_path, rows, watch, reference_rows=0)
    return {one["segment"]: one for one in report.watches}


@pytest.mark.parametrize(("tier", "most"), [("rollback", 5), ("page", 50), ("info", 50)])
def test_each_tier_has_its_number_of_segments_and_the_rest_is_tested_together(
    tmp_path: Path, tier: str, most: int
) -> None:
    watch = {"tier": tier, "settings": {"segments": BY_SHOP, "learn": 50, "block": 1}}
    told = in_shops(tmp_path, 60, watch)
    rest = told.pop("shop=OTHER")
    assert list(told) == [f"shop=s{number:02d}" for number in range(most)]
    assert rest["observations"] == 3000 - sum(one["observations"] for one in told.values())
    assert rest["note"].startswith(
        f"Tested together here: every segment after the first {most} of this version"
    )
    assert f"this {tier} watch" in rest["note"]
    assert {one["note"] for one in told.values()} == {None}
    # What fits is tested by itself, all of it.
    assert len(in_shops(tmp_path, most, watch)) == most


def test_segments_that_a_watch_names_are_tested_by_themselves(tmp_path: Path) -> None:
    named = [f"s{number:02d}" for number in range(10, 20)]
    settings = {"segments": BY_SHOP | {"values": named}, "learn": 50, "block": 1}
    told = in_shops(tmp_path, 60, {"tier": "rollback", "settings": settings})
    # A row of none of them, which comes first here, takes no place from them.
    assert set(told) == {"shop=OTHER", *(f"shop={name}" for name in named)}
    stated = settings | {"most_segments": 2}
    told = in_shops(tmp_path, 60, {"tier": "rollback", "settings": stated})
    assert set(told) == {"shop=OTHER", "shop=s10", "shop=s11"}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"segments": BY_SHOP, "most_segments": 25}, "most_segments"),
        ({"segments": BY_SHOP | {"values": [str(n) for n in range(25)]}}, "segments"),
        ({"segments": {"by": "feature.age", "bins": 32}}, "segments"),
        ({"segments": {"by": "feature.age", "edges": list(range(24))}}, "segments"),
        ({"segments": {"by": "time.hour_of_week"}}, "segments"),
    ],
)
def test_a_rollback_watch_that_asks_for_many_segments_is_refused(
    settings: Json, field: str
) -> None:
    entry = {"name": "mine", "settings": settings}
    with pytest.raises(InvalidRequestError) as refused:
        WatchEntry.model_validate(entry | {"tier": "rollback"}).form(where="/watches/0")
    (error,) = refused.value.errors
    assert error["path"] == f"/watches/0/settings/{field}"
    assert error["expected"].startswith("at most 24 segments at the tier rollback, whose budget")
    for tier in ("page", "info"):
        WatchEntry.model_validate(entry | {"tier": tier}).form()


def test_as_many_as_a_tier_takes_may_be_asked_for(tmp_path: Path) -> None:
    for tier, most in (("rollback", 24), ("page", 1000), ("info", 1000)):
        settings = {"segments": BY_SHOP, "most_segments": most}
        WatchEntry.model_validate({"name": "mine", "tier": tier, "settings": settings}).form()
    hours = {"segments": {"by": "time.hour"}}
    WatchEntry.model_validate({"name": "mine", "tier": "rollback", "settings": hours}).form()
    path = tmp_path / "watches.yaml"
    path.write_text(
        "watches:\n  - name: mine\n    tier: rollback\n    settings:\n"
        "      segments: {by: context.shop}\n      most_segments: 100\n"
    )
    with pytest.raises(InvalidWatchFileError, match=r"line 6: watches\[0\].settings.most_segments"):
        read_watch_file(path)
