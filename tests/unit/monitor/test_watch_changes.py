"""What a file of watches would change."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import InvalidRequestError
from monitor.records import Json, Watch
from monitor.settings import Mode, Tier
from monitor.watches.changes import Change, Wanted, changes, told_apart, wanted_of
from monitor.watches.entries import WatchEntry
from monitor.watches.fitting import DETECTORS, check_task, settings_for
from monitor.watches.watch import DEFAULT_WATCHES, WatchSettings, default_mode


def made(wanted: list[Wanted]) -> list[Watch]:
    """The watches as they stand once these are made."""
    return [
        Watch(
            number,
            1,
            one.form.name,
            one.form.signal,
            one.form.detector,
            one.form.tier,
            one.form.settings,
            one.form.remedy,
            one.mode,
            "operator",
            one.enabled,
            rule=one.form.rule,
        )
        for number, one in enumerate(wanted, 1)
    ]


def entries(*told: Json) -> list[WatchEntry]:
    return [WatchEntry.model_validate(one) for one in told]


def wanted(*told: Json, defaults: bool = True, mode: Mode = Mode.PROPOSE) -> list[Wanted]:
    return wanted_of(entries(*told), defaults=defaults, mode=mode)


def differing(present: list[Watch], wish: list[Wanted]) -> dict[str, Change]:
    return {one.name: one for one in changes(present, wish) if one.action != "keep"}


DEFAULTS = made(wanted())


def test_an_empty_file_changes_nothing_of_what_exists_without_a_word() -> None:
    assert not differing(DEFAULTS, wanted())


def test_of_a_default_watch_only_what_differs_need_be_said() -> None:
    told = differing(DEFAULTS, wanted({"name": "quality", "enabled": False}))
    assert told["quality"].fields == {"enabled": (True, False)}
    assert not told["quality"].restarts
    told = differing(DEFAULTS, wanted({"name": "loss", "settings": {"tolerance": 0.05}}))
    assert told["loss"].fields["settings"][1] == {"block": "recommended", "tolerance": 0.05}
    assert told["loss"].restarts


def test_an_operators_watch_that_the_file_does_not_name_goes() -> None:
    mine = {"name": "mine", "signal": "feature.age", "detector": "ranks", "tier": "info"}
    present = made(wanted(mine))
    assert differing(present, wanted())["mine"].action == "remove"
    assert differing(DEFAULTS, wanted(mine))["mine"].action == "add"
    assert not differing(present, wanted(mine))


def test_without_defaults_those_that_are_not_named_are_off() -> None:
    told = differing(DEFAULTS, wanted({"name": "loss"}, defaults=False))
    assert set(told) == {form.name for form in DEFAULT_WATCHES} - {"loss"}
    assert {one.fields["enabled"] for one in told.values()} == {(True, False)}


def test_a_watch_that_only_tells_people_observes_whatever_its_mode() -> None:
    act = {"name": "loss", "remedy": "notify", "mode": "act"}
    assert wanted(act)[0].mode is Mode.OBSERVE
    assert wanted({"name": "loss_rollback"}, mode=Mode.ACT)[0].mode is Mode.ACT


NAMES = st.sampled_from([form.name for form in DEFAULT_WATCHES] + ["mine", "other"])


@st.composite
def told_entries(draw: st.DrawFn) -> list[Json]:
    told = []
    for name in draw(st.lists(NAMES, unique=True, max_size=6)):
        entry: Json = {"name": name, "enabled": draw(st.booleans())}
        if name in ("mine", "other", "loss"):
            entry["tier"] = draw(st.sampled_from(["page", "info"]))
            limit = draw(st.sampled_from([0.1, 0.25]))
            entry["settings"] = draw(st.sampled_from([{}, {"limit": limit}, {"block": None}]))
        if name == "loss_rollback":
            entry["mode"] = draw(st.sampled_from(["observe", "propose", "act"]))
        told.append(entry)
    return told


@given(told_entries(), told_entries(), st.booleans())
def test_what_was_applied_or_exported_changes_nothing_when_applied_again(
    before: list[Json], told: list[Json], defaults: bool
) -> None:
    present = made(wanted(*before))
    wish = wanted(*told, defaults=defaults)
    after = {watch.name: watch for watch in present}
    for one in changes(present, wish):
        if one.action == "remove":
            del after[one.name]
        elif one.wanted is not None:
            after[one.name] = made([one.wanted])[0]
    assert not differing(list(after.values()), wish)
    exported = [told_apart(watch, Mode.PROPOSE) for watch in after.values()]
    assert not differing(list(after.values()), wanted(*[one for one in exported if one]))


OPENED: Json = {"opened_by": "adwin"}


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"signal": "los"}, "/signal"),
        ({"detector": "ranks"}, "/detector"),
        ({"detector": "adwin", "remedy": "roll_back"}, "/remedy"),
        *(
            ({"detector": "confirm-gate"} | changed, path)
            for changed, path in (
                ({}, "/settings/opened_by"),
                ({"settings": {"opened_by": "adwine"}}, "/settings/opened_by"),
                ({"settings": {"opened_by": "bounded-mean"}}, "/settings/opened_by"),
                ({"settings": {"opened_by": "confirm-gate"}}, "/settings/opened_by"),
                ({"settings": {"opened_by": "ddm", "block": 16}}, "/settings/opened_by"),
                (
                    {"signal": "metric.brier", "settings": {"opened_by": "ddm"}},
                    "/settings/opened_by",
                ),
                ({"settings": OPENED | {"head_start": 0.01}}, "/settings/head_start"),
                ({"settings": OPENED | {"opener": {"dleta": 0.1}}}, "/settings/opener/dleta"),
                ({"settings": OPENED | {"opener": {"delta": 2}}}, "/settings/opener/delta"),
                ({"settings": OPENED | {"opener": {"clock": 1.5}}}, "/settings/opener/clock"),
                (
                    {"settings": {"opened_by": "kswin", "opener": {"stat_size": 60}}},
                    "/settings/opener",
                ),
                ({"signal": "feature.age", "settings": OPENED}, "/detector"),
                ({"signal": "loss_difference", "settings": OPENED}, "/detector"),
                ({"signal": "label.coverage", "settings": OPENED}, "/detector"),
            )
        ),
        ({"settings": OPENED}, "/settings/opened_by"),
        ({"settings": {"delta": 0.1}}, "/settings/delta"),
        ({"settings": {"horizon": 60}}, "/settings/horizon"),
        ({"settings": {"metric": "a:b"}}, "/settings/metric"),
        ({"settings": {"unit": "context.user", "block": 7}}, "/settings/block"),
        ({"signal": "metric.f1", "settings": {"limit": 0.1, "least": 0.7}}, "/settings/least"),
        ({"settings": {"unit": "context.user", "mature_after": 60}}, "/settings/unit"),
        ({"signal": "metric.auc", "settings": {"unit": "context.user"}}, "/settings/unit"),
        ({"signal": "metric.auc.first"}, "/signal"),
        ({"signal": "metric.auc.2", "detector": "two-sided-mean"}, "/detector"),
        ({"signal": "metric.auc.2", "settings": {"metric": "a:b"}}, "/settings/metric"),
        ({"settings": {"quantile": 0.5}}, "/settings/quantile"),
        ({"signal": "metric.absolute", "settings": {"quantile": 0.5}}, "/settings/quantile"),
        (
            {"signal": "metric.quantile", "settings": {"metric": "a:b", "quantile": 0.5}},
            "/settings/quantile",
        ),
        ({"signal": "metric.quantile.low", "detector": "two-sided-mean"}, "/detector"),
        (
            {"signal": "label.coverage", "settings": {"segments": {"by": "context.region"}}},
            "/settings/segments",
        ),
    ],
)
def test_parts_that_do_not_fit_are_refused_by_their_path(changed: Json, path: str) -> None:
    entry = WatchEntry.model_validate({"name": "mine"} | changed)
    with pytest.raises(InvalidRequestError) as refused:
        entry.form(where="/watches/3")
    assert refused.value.errors[0]["path"] == f"/watches/3{path}"


@pytest.mark.parametrize(
    ("task", "signal", "there"),
    [
        ("binary", "metric.auc.1", "metric.auc"),
        ("binary", "metric.absolute", "metric.recall"),
        ("binary", "metric.recall.1", None),
        ("multiclass", "metric.auc", "metric.auc.CLASS"),
        ("multiclass", "metric.auc.1", None),
        ("multiclass", "metric.recall.red", None),
        ("multiclass", "metric.recall", "metric.recall.CLASS"),
        ("regression", "metric.brier", "metric.squared"),
        ("regression", "metric.quantile.low", None),
        ("regression", "metric.*", None),
        ("regression", "loss", None),
    ],
)
def test_a_metric_that_the_task_has_not_is_refused_with_those_that_there_are(
    task: str, signal: str, there: str | None
) -> None:
    form = WatchEntry(name="mine", signal=signal).form()
    if there is None:
        check_task(form, task, where="/body")
        return
    with pytest.raises(InvalidRequestError) as refused:
        check_task(form, task, where="/body")
    (error,) = refused.value.errors
    assert error["path"] == "/body/signal"
    assert there in error["expected"].replace(",", "").split()
    # One of one's own may have any name.
    check_task(replace(form, settings={"metric": "mine:cost"}), task, where="/body")


def test_every_setting_is_one_of_some_watch() -> None:
    looked_at: set[str] = set()
    for signal, detectors in DETECTORS.items():
        for detector in detectors:
            looked_at |= settings_for(signal.replace("metric.*", "metric.mine"), detector)
    assert looked_at == set(WatchSettings.model_fields)


def test_default_watches_look_at_each_of_their_settings() -> None:
    for form in DEFAULT_WATCHES:
        assert set(form.settings) <= settings_for(form.signal, form.detector)


def test_a_changed_default_is_put_back_where_the_file_is_silent() -> None:
    index = next(n for n, w in enumerate(DEFAULTS) if w.name == "loss")
    changed: list[Any] = [*DEFAULTS]
    changed[index] = replace(DEFAULTS[index], tier=Tier.INFO)
    assert differing(changed, wanted())["loss"].fields == {"tier": ("info", "page")}
    assert default_mode(DEFAULT_WATCHES[1], Mode.ACT) is Mode.ACT
