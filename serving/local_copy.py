"""What this process serves, kept in a file: what it goes by where Postgres is away at the start."""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from serving.records import Key, ReplicaPlan
from serving.route_states import RouteState

FORM = 1
"""Form of the file; a copy of another form is not used."""
GATHERING = 0.05
"""Seconds in which changes that come together share a write."""

log = logging.getLogger("serving.local_copy")


@dataclass(frozen=True, slots=True)
class Copy:
    """Everything that is needed to answer."""

    form: int
    at: datetime
    """When it was made."""
    known: list[str]
    """Applications, with a route or without."""
    states: list[RouteState]
    keys: list[Key]
    """Valid keys, as hashes."""
    replicas: dict[int, ReplicaPlan]
    """By version id."""


class LocalCopy:
    """The file `registry.json` of one process.

    Parameters
    ----------
    read
        Gives what is served now; called on the event loop.
    """

    def __init__(
        self,
        path: Path,
        changed: asyncio.Event,
        read: Callable[[], tuple[set[str], list[RouteState], list[Key], dict[int, ReplicaPlan]]],
    ) -> None:
        self.path = path
        self._changed = changed
        self._read = read

    async def keep(self) -> None:
        """Write it at each change, for ever."""
        while True:
            await self._changed.wait()
            await asyncio.sleep(GATHERING)
            self._changed.clear()
            known, states, keys, replicas = self._read()
            copy = Copy(FORM, datetime.now(UTC), sorted(known), states, keys, replicas)
            await asyncio.to_thread(self._write, copy)

    def _write(self, copy: Copy) -> None:
        text = msgspec.json.encode(copy, enc_hook=_encode)
        made = self.path.with_suffix(".new")
        # It tells who may do what, if only as hashes: nobody else's to read.
        descriptor = os.open(made, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            target.write(text)
            target.flush()
            os.fsync(descriptor)
        made.replace(self.path)

    def load(self) -> Copy | None:
        """The copy that an earlier process left; None if there is none that can be used."""
        try:
            copy = msgspec.json.decode(self.path.read_bytes(), type=Copy, dec_hook=_decode)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            log.error("local_copy_unusable path=%s error=%r", self.path, error)
            return None
        if copy.form != FORM:
            log.error("local_copy_unusable path=%s form=%d", self.path, copy.form)
            return None
        return copy


def _encode(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(f"no form for {type(value).__qualname__}")


def _decode(kind: type, value: Any) -> object:
    if kind is Path:
        return Path(value)
    raise NotImplementedError(f"no form for {kind.__qualname__}")
