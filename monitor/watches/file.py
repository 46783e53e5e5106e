"""Watches in a YAML file, read with errors that name line and field."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from monitor.errors import InvalidRequestError, InvalidWatchFileError
from monitor.watches.entries import MOST_WATCHES, ReplaySettings

Path_ = tuple[str | int, ...]


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
        place = place_of(first, value)
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


def place_of(error: ErrorDetails, value: Any) -> Path_:
    """The part of a validator's path that what came has too, and a field that is missing: unions
    add names of their own."""
    found: list[str | int] = []
    for part in error["loc"]:
        is_item = isinstance(value, list) and isinstance(part, int) and part < len(value)
        if is_item or (isinstance(value, dict) and part in value):
            value = value[part]
            found.append(part)
        elif error["type"] == "missing" and isinstance(value, dict):
            found.append(error["loc"][-1])
            break
    return tuple(found)


def _dotted(place: Path_) -> str:
    told = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return told.removeprefix(".")


def _brief(value: object) -> str:
    told = repr(value)
    return told if len(told) <= 80 else told[:77] + "..."


MERGE = "<<"
"""What a field is called that brings in the fields of an anchor: the line of none could be told."""
DEEPEST, MOST_FIELDS = 16, 50_000
"""No file of watches needs more; one that repeats itself by its anchors would have no end."""


def _parse(path: Path, text: str) -> tuple[Any, dict[Path_, int]]:
    try:
        loader = yaml.SafeLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise InvalidWatchFileError(path, line, "", f"is no YAML: {error.reason}") from error
    try:
        root = loader.get_single_node()
        if root is None:
            return None, {}
        lines: dict[Path_, int] = {}
        for place, line, repeated in _places(root, (), loader):
            if len(place) > DEEPEST or len(lines) > MOST_FIELDS:
                said = "is nested too deeply, holds itself, or has too many fields"
                raise InvalidWatchFileError(path, line, _dotted(place[:3]), said)
            if place == ("watches", MOST_WATCHES):
                said = f"more than {MOST_WATCHES} watches"
                raise InvalidWatchFileError(path, line, "watches", said)
            if place[-1] == MERGE:
                said = "fields cannot be merged from elsewhere: write them out, or name all by *"
                raise InvalidWatchFileError(path, line, _dotted(place), said)
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
    except RecursionError as error:
        raise InvalidWatchFileError(path, 1, "", "is nested too deeply") from error
    except ValueError as error:
        # A date or a number that YAML's form allows and Python does not have.
        said = f"holds a value that cannot be read: {error}"
        raise InvalidWatchFileError(path, 1, "", said) from error
    finally:
        loader.dispose()


def _places(
    node: yaml.Node, place: Path_, loader: yaml.SafeLoader
) -> Iterator[tuple[Path_, int, bool]]:
    """Every field with its line, and whether its key stood there before."""
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            is_merge = key.tag == "tag:yaml.org,2002:merge"
            name = MERGE if is_merge else str(loader.construct_object(key, deep=True))
            inner = (*place, name)
            yield inner, key.start_mark.line + 1, name in seen
            seen.add(name)
            yield from _places(value, inner, loader)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark.line + 1, False
            yield from _places(value, (*place, number), loader)
