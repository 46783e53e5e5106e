"""Watches as a file or a body states them: what is absent follows from the name, or is as usual."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor.records import Json, Watch
from monitor.remedies import rules
from monitor.remedies.rules import Kind, Rule, Step
from monitor.settings import Mode, Tier
from monitor.watches.fitting import check_form
from monitor.watches.watch import DEFAULT_WATCHES, WatchForm, WatchSettings, default_mode

DEFAULTS = {form.name: form for form in DEFAULT_WATCHES}
"""Watches that exist without a word, by name."""


class WatchEntry(BaseModel):
    """One watch. Of a default watch the name and what is to differ are enough."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    signal: Annotated[str, Field(max_length=200)] = "loss"
    """A signal, a family of them that ends with .*, or one member of a family."""
    detector: Annotated[str, Field(max_length=63)] = "bounded-mean"
    tier: Tier = Tier.PAGE
    settings: WatchSettings = WatchSettings()
    """Those that are to differ."""
    remedy: Kind | Step | Rule = "notify"
    """What an alarm sets off: a kind, a step with its settings, or steps of which the next is taken
    where the one before did not help."""
    mode: Mode | None = None
    """How far the remedy may go by itself; observe for what only tells people, else propose, when
    absent."""
    enabled: bool = True

    @property
    def default(self) -> WatchForm | None:
        """The default watch that is meant; none for a watch of one's own."""
        form = DEFAULTS.get(self.name)
        given = self.model_fields_set
        if form is None or ("signal" in given and self.signal != form.signal):
            return None
        return None if "detector" in given and self.detector != form.detector else form

    def form(self, *, where: str = "") -> WatchForm:
        """The watch, once it is known to fit together.

        Raises
        ------
        InvalidRequestError
            If signal, detector, tier and remedy do not fit, naming the field below `where`.
        """
        default, given = self.default, self.model_fields_set
        stated = self.settings.model_dump(exclude_unset=True, mode="json")
        rule = rules.parse(self.remedy, where=f"{where}/remedy")
        if default is not None and "remedy" not in given:
            rule = default.rule or [{"kind": default.remedy}]
        form = WatchForm(
            self.name,
            self.signal if default is None else default.signal,
            self.detector if default is None else default.detector,
            self.tier if default is None or "tier" in given else default.tier,
            rule[0]["kind"],
            stated if default is None else default.settings | stated,
            rule,
        )
        check_form(form, where=where)
        return form

    def stated_mode(self, of_defaults: Mode = Mode.PROPOSE) -> Mode:
        """The mode; where none is stated that of default watches, or for one's own the careful one.

        Parameters
        ----------
        of_defaults
            Mode of default watches that may act.
        """
        form = self.form()
        if not rules.acts(form.rule or []):
            return Mode.OBSERVE
        if self.mode is not None:
            return self.mode
        return Mode.PROPOSE if self.default is None else default_mode(form, of_defaults)


Budgets = dict[Tier, Annotated[float, Field(gt=0, le=1000)]]
"""False alarms a year by tier."""


MOST_WATCHES = 1_000
"""Watches of one application, or of one replay."""


class ReplaySettings(BaseModel):
    """A file of watches."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    application: str | None = None
    """Whose watches they are; a replay does not look at it."""
    watches: Annotated[list[WatchEntry], Field(max_length=MOST_WATCHES)] | None = None
    """The watches; the default ones when absent."""
    defaults: bool | None = None
    """Whether the default watches whose names do not stand above run as well. When absent, an
    application keeps them, and a replay runs only what stands above, if anything does."""
    task: Literal["binary", "multiclass", "regression"] | None = None
    """Of a replayed file; told from its labels when absent."""
    reference_rows: Annotated[int, Field(ge=0)] = 2000
    """Of a replayed file: the first rows of each version, which are its reference and are not
    tested."""
    budgets: Budgets = {}
    """False alarms a year for a tier, divided over its watches; the monitor's own settings when
    absent."""


def watches_of(
    given: ReplaySettings | None, application: int, own: Sequence[Watch] = ()
) -> list[Watch]:
    """The watches that a replay runs, with clocks that have not begun.

    Parameters
    ----------
    given
        What a file says; none for the application's own watches.
    own
        Those.
    """
    if given is None:
        return [replace(watch, clock=None) for watch in own]
    entries = given.watches or []
    made = [(entry.form(), entry.enabled) for entry in entries]
    named = {entry.name for entry in entries}
    if given.watches is None or given.defaults:
        made += [(form, True) for form in DEFAULT_WATCHES if form.name not in named]
    return [
        Watch(
            number,
            application,
            form.name,
            form.signal,
            form.detector,
            form.tier,
            form.settings,
            form.remedy,
            Mode.OBSERVE,
            "replay",
            enabled,
        )
        for number, (form, enabled) in enumerate(made, 1)
    ]


def as_entry(watch: Watch) -> Json:
    """A watch as a file states it, without what is as it would be anyway."""
    rule = rules.steps_of(watch)
    plain = [step["kind"] if set(step) == {"kind"} else step for step in rule]
    told: Json = {
        "name": watch.name,
        "signal": watch.signal,
        "detector": watch.detector,
        "tier": watch.tier.value,
    }
    if watch.settings:
        told["settings"] = watch.settings
    told["remedy"] = plain[0] if len(plain) == 1 else plain
    if rules.acts(rule):
        told["mode"] = watch.mode.value
    if not watch.enabled:
        told["enabled"] = False
    return told
