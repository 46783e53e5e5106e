"""Watches in a YAML file, read with errors that name line and field."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from monitor import rules
from monitor.errors import InvalidRequestError, InvalidWatchFileError
from monitor.records import Json, Watch
from monitor.rules import Kind, Rule, Step
from monitor.settings import Mode, Tier
from monitor.watches import DEFAULT_WATCHES, WatchForm, WatchSettings, check_form

Path_ = tuple[str | int, ...]


class WatchEntry(BaseModel):
    """One watch as a file or a body states it."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    signal: Annotated[str, Field(max_length=200)] = "loss"
    """A signal, a family of them that ends with .*, or one member of a family."""
    detector: Annotated[str, Field(max_length=63)] = "bounded-mean"
    tier: Tier = Tier.PAGE
    settings: WatchSettings = WatchSettings()
    remedy: Kind | Step | Rule = "notify"
    """What an alarm sets off: a kind, a step with its settings, or steps of which the next is taken
    where the one before did not help."""
    mode: Mode | None = None
    """How far the remedy may go by itself; observe for what only tells people, else propose, when
    absent."""
    enabled: bool = True

    def form(self, *, where: str = "") -> WatchForm:
        """The watch, once it is known to fit together.

        Raises
        ------
        InvalidRequestError
            If signal, detector, tier and remedy do not fit, naming the field below `where`.
        """
        rule = rules.parse(self.remedy, where=f"{where}/remedy")
        form = WatchForm(
            self.name,
            self.signal,
            self.detector,
            self.tier,
            rule[0]["kind"],
            self.settings.model_dump(exclude_unset=True, mode="json"),
            rule,
        )
        check_form(form, where=where)
        return form

    @property
    def stated_mode(self) -> Mode:
        """The mode, where none is stated the careful one."""
        if not rules.acts(rules.parse(self.remedy)):
            return Mode.OBSERVE
        return self.mode or Mode.PROPOSE


class ReplaySettings(BaseModel):
    """A file of watches."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    application: str | None = None
    """Whose watches they are; a replay does not look at it."""
    watches: list[WatchEntry] | None = None
    """The watches of a replay; the default ones when absent."""
    defaults: bool = False
    """Whether a replay also runs the default watches, but for those whose names stand above."""
    task: Literal["binary", "multiclass", "regression"] | None = None
    """Of a replayed file; told from its labels when absent."""
    reference_rows: Annotated[int, Field(ge=0)] = 2000
    """Of a replayed file: the first rows of each version, which are its reference and are not
    tested."""
    budgets: dict[Tier, Annotated[float, Field(gt=0, le=1000)]] = {}
    """False alarms a year for a tier in a replay; the monitor's own settings when absent."""


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


@dataclass(frozen=True, slots=True)
class WatchFile:
    """A file of watches and where in it everything stands."""

    path: Path
    content: ReplaySettings
    lines: dict[Path_, int]
    """Line of each field, from 1."""

    def line_of(self, place: Path_) -> int:
        """Line of a field, or of the nearest that holds it."""
        while place and place not in self.lines:
            place = place[:-1]
        return self.lines.get(place, 1)


def read_watch_file(path: Path) -> WatchFile:
    """Read a file of watches; JSON is YAML too.

    Raises
    ------
    InvalidWatchFileError
        If it cannot be read or used, naming line and field.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise InvalidWatchFileError(path, 1, "", f"cannot be read: {reason}") from error
    value, lines = _parse(path, text)
    if not isinstance(value, dict):
        found = type(value).__name__
        raise InvalidWatchFileError(path, 1, "", f"expected fields such as watches:, got {found}")
    try:
        content = ReplaySettings.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = _shown(first["loc"], value)
        said = f"{first['msg']}, received {_brief(first.get('input'))}"
        if first["type"] == "missing":
            said = f"the field {place[-1]} is missing"
        where = WatchFile(path, ReplaySettings(), lines).line_of(place)
        raise InvalidWatchFileError(path, where, _dotted(place), said) from error
    file = WatchFile(path, content, lines)
    seen: dict[str, int] = {}
    for number, entry in enumerate(content.watches or []):
        try:
            entry.form(where=f"/watches/{number}")
        except InvalidRequestError as error:
            raise in_file(file, error) from error
        if entry.name in seen:
            place = ("watches", number, "name")
            said = f"{entry.name} is the name of the watch on line {seen[entry.name]} already"
            raise InvalidWatchFileError(path, file.line_of(place), _dotted(place), said)
        seen[entry.name] = file.line_of(("watches", number, "name"))
    return file


def in_file(file: WatchFile, error: InvalidRequestError) -> InvalidWatchFileError:
    """An error about a field, as one about a line."""
    found = error.errors[0]
    parts = [part for part in found["path"].split("/") if part not in ("", "body")]
    place = tuple(int(part) if part.isdigit() else part for part in parts)
    said = f"expected {found['expected']}, received {found['received']}"
    return InvalidWatchFileError(file.path, file.line_of(place), _dotted(place), said)


def _shown(place: Sequence[str | int], value: Any) -> Path_:
    """The part of a validator's path that the file has too: unions add names of their own."""
    found: list[str | int] = []
    for part in place:
        there = part in value if isinstance(value, dict) else isinstance(value, list)
        if there:
            value = value[part]
            found.append(part)
        elif part == place[-1] and isinstance(value, dict):
            # A field that is missing.
            found.append(part)
    return tuple(found)


def _dotted(place: Path_) -> str:
    told = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return told.removeprefix(".")


def _brief(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 80 else told[:77] + "..."


def _parse(path: Path, text: str) -> tuple[Any, dict[Path_, int]]:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return None, {}
        lines: dict[Path_, int] = {}
        for place, line, repeated in _places(root, (), loader):
            if repeated:
                raise InvalidWatchFileError(
                    path, line, _dotted(place), f"stands on line {lines[place]} already"
                )
            lines[place] = line
        return loader.construct_document(root), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        raise InvalidWatchFileError(path, line, "", f"is no YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InvalidWatchFileError(path, 1, "", f"is no YAML: {error}") from error
    finally:
        loader.dispose()


def _places(
    node: yaml.Node, place: Path_, loader: yaml.SafeLoader
) -> Iterator[tuple[Path_, int, bool]]:
    """Every field with its line, and whether its key stood there before."""
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            name = str(loader.construct_object(key, deep=True))
            inner = (*place, name)
            yield inner, key.start_mark.line + 1, name in seen
            seen.add(name)
            yield from _places(value, inner, loader)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1, False
            yield from _places(value, (*place, number), loader)


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
