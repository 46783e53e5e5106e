"""What would have to change so that an application's watches are those of a file.

Values in, values out: the file states all watches of the application. One of an operator's that it
does not name goes; a default watch that it does not name is as it would be without a word, or off
where the file says that there shall be no defaults.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from monitor.records import Json, Watch
from monitor.remedies import rules
from monitor.settings import Mode, Tier
from monitor.watches.entries import DEFAULTS, WatchEntry, as_entry
from monitor.watches.fitting import check_form
from monitor.watches.watch import DEFAULT_WATCHES, WatchForm, WatchSettings, default_mode

Action = Literal["add", "change", "remove", "keep"]

RESTARTS = frozenset({"signal", "detector", "tier", "settings"})
"""Fields with which the tests of a watch begin anew."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A watch as it shall be."""

    form: WatchForm
    mode: Mode
    enabled: bool

    @property
    def fields(self) -> Json:
        """All that can differ, as JSON."""
        form = self.form
        return {
            "signal": form.signal,
            "detector": form.detector,
            "tier": form.tier.value,
            "settings": form.settings,
            "remedy": form.remedy,
            "rule": form.rule or [{"kind": form.remedy}],
            "mode": self.mode.value,
            "enabled": self.enabled,
        }


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one watch."""

    action: Action
    name: str
    present: Watch | None
    wanted: Wanted | None
    fields: dict[str, tuple[object, object]]
    """Of a changed watch: each field that differs, as it is and as it shall be."""

    @property
    def columns(self) -> Json:
        """Of a changed watch: the columns that differ, as they shall be."""
        assert self.wanted is not None
        found = {name: self.wanted.fields[name] for name in self.fields}
        return found | ({"remedy": self.wanted.form.remedy} if "rule" in found else {})

    @property
    def restarts(self) -> bool:
        """Whether its tests begin anew."""
        return self.action == "change" and bool(RESTARTS & self.fields.keys())


def wanted_of(entries: Sequence[WatchEntry], *, defaults: bool, mode: Mode) -> list[Wanted]:
    """All watches that an application shall have.

    Parameters
    ----------
    entries
        Those that are named, each with a name of its own.
    defaults
        Whether default watches that are not named run as well.
    mode
        Of default watches that may act.

    Raises
    ------
    InvalidRequestError
        If the parts of a watch do not fit together, naming it by its number.
    """
    made = [
        Wanted(
            entry.form(where=f"/body/watches/{number}"),
            entry.stated_mode(mode),
            entry.enabled,
        )
        for number, entry in enumerate(entries)
    ]
    named = {entry.name for entry in entries}
    made += [
        Wanted(form, default_mode(form, mode), defaults)
        for form in DEFAULT_WATCHES
        if form.name not in named
    ]
    return made


def revised(
    watch: Watch,
    *,
    tier: Tier | None = None,
    settings: Json | None = None,
    remedy: object = None,
    mode: Mode | None = None,
    enabled: bool | None = None,
) -> Change:
    """What to do so that parts of a watch are others.

    Parameters
    ----------
    watch
        As it is; each part that is none stays so.
    settings
        Those that are to differ; one that is none goes by its default.
    remedy
        A kind, a step, or a list of steps.

    Raises
    ------
    InvalidRequestError
        If the parts would not fit together, naming the field below `/body`.
    """
    rule = rules.steps_of(watch)
    if remedy is not None:
        rule = rules.parse(remedy, where="/body/remedy")
    form = WatchForm(
        watch.name,
        watch.signal,
        watch.detector,
        watch.tier if tier is None else tier,
        rule[0]["kind"],
        watch.settings | (settings or {}),
        rule,
    )
    if tier is not None or settings is not None or remedy is not None:
        check_form(form, where="/body")
    stated = (watch.mode if mode is None else mode) if rules.acts(rule) else Mode.OBSERVE
    return _change(watch, Wanted(form, stated, watch.enabled if enabled is None else enabled))


def changes(present: Sequence[Watch], wanted: Sequence[Wanted]) -> list[Change]:
    """What to do, by name: additions and changes in the order of `wanted`, then removals."""
    there = {watch.name: watch for watch in present}
    told = [_change(there.get(one.form.name), one) for one in wanted]
    named = {one.form.name for one in wanted}
    told += [Change("remove", w.name, w, None, {}) for w in present if w.name not in named]
    return told


def _change(watch: Watch | None, wanted: Wanted) -> Change:
    name = wanted.form.name
    if watch is None:
        return Change("add", name, None, wanted, {})
    fields = dict(_differing(_fields(watch), wanted))
    return Change("change" if fields else "keep", name, watch, wanted, fields)


def _fields(watch: Watch) -> Json:
    form = WatchForm(
        watch.name,
        watch.signal,
        watch.detector,
        watch.tier,
        watch.remedy,
        watch.settings,
        rules.steps_of(watch),
    )
    return Wanted(form, watch.mode, watch.enabled).fields


def _differing(fields: Json, wanted: Wanted) -> Iterator[tuple[str, tuple[object, object]]]:
    for name, value in wanted.fields.items():
        here, there = fields[name], value
        if name == "settings":
            here, there = _plain(here), _plain(there)
        if here != there:
            yield name, (fields[name], value)


def _plain(settings: Json) -> Json:
    """Settings that say something: one that is none is as if it were absent."""
    whole = WatchSettings.model_validate(settings).model_dump(exclude_unset=True, mode="json")
    return {name: value for name, value in whole.items() if value is not None}


def told_apart(watch: Watch, mode: Mode) -> Json | None:
    """A watch as a file states it; of a default one what differs, or none where nothing does.

    Parameters
    ----------
    mode
        Of default watches that may act.
    """
    entry = as_entry(watch)
    form = DEFAULTS.get(watch.name)
    if form is None or (form.signal, form.detector) != (watch.signal, watch.detector):
        return entry
    differ = dict(_differing(_fields(watch), Wanted(form, default_mode(form, mode), True)))
    kept: Json = {"name": watch.name}
    if "tier" in differ:
        kept["tier"] = entry["tier"]
    if "settings" in differ:
        # What the default sets and this one does not must be said, or it would come back.
        kept["settings"] = dict.fromkeys(form.settings) | watch.settings
    if "rule" in differ:
        kept["remedy"] = entry["remedy"]
    if "mode" in differ and "mode" in entry:
        kept["mode"] = entry["mode"]
    if not watch.enabled:
        kept["enabled"] = False
    return kept if len(kept) > 1 else None
