"""Online models: what feedback teaches becomes a version of its own, at a stated interval.

A version of river that states `learn_every` is followed, while a route names it, by versions that
have learned the labels that came since: the record is read from where the version before stopped,
in order of commits, each answer once; a program in the model's environment learns the rows; its
state is registered and takes the place of the version before in the route, as any change of a
route: probed first, warm for a rollback, in the history with what it learned. How far it read
stands in the manifest of the new version, so that version and place are written in one transaction.

A route that was rolled back learns nothing more until somebody changes it: the labels that made a
model worse would make it worse again.
"""

import asyncio
import contextlib
import json
import logging
import os
import re
import struct
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

import serving.replica
from serving.artefacts import ArtefactStore, digest_of
from serving.errors import ServingError
from serving.in_force import InForce
from serving.inference import FLAG_SHADOW
from serving.launchers.environment_store import EnvironmentStore
from serving.records import InputSchema, Key, Revision, Version
from serving.rollout import Rollout
from serving.route_orders import Order
from serving.route_states import RouteState
from serving.store import keys, labelled_rows, models, policy_statistics
from serving.store.labelled_rows import LabelledRow
from serving.store.models import Versions
from serving.store.policy_statistics import Position

GROUP_ROWS = 5_000
MOST_ROWS = 50_000
"""Rows that one version learns at most; the next one goes on behind them."""
LEARN_WITHIN = 300.0
"""Longest time in seconds for the program that learns."""
WORDS = 1000
"""Characters of the end of what it said that are told where it failed."""

log = logging.getLogger("serving.online")


@dataclass(frozen=True, slots=True)
class Lessons:
    """What came since the version before."""

    rows: list[LabelledRow]
    until: Position


class OnlineLearning:
    """Lets online models learn, when no other process does.

    Parameters
    ----------
    environments
        Where the learning program's interpreters are.
    python
        Interpreter of versions that state nothing.
    poll
        Seconds between two looks whether a version is due.
    """

    def __init__(
        self, url: str, *, engine: AsyncEngine, in_force: InForce, rollout: Rollout,
        versions: Versions, artefacts: ArtefactStore, environments: EnvironmentStore,
        python: Path | None, poll: float,
    ) -> None:  # fmt: skip
        self._url = url
        self._engine = engine
        self._in_force = in_force
        self._rollout = rollout
        self._versions = versions
        self._artefacts = artefacts
        self._environments = environments
        self._python = python
        self._poll = poll
        self._read_to: dict[int, Position] = {}
        """Places up to which there was nothing to learn, by the version before."""

    async def run(self) -> None:
        """Look for ever; Postgres may come and go."""
        while True:
            await asyncio.sleep(self._poll)
            if not any(_due(state) for state in self._in_force.states.values()):
                continue
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await self._turn()

    async def _turn(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=5, command_timeout=30)
        try:
            if not await labelled_rows.hold(connection):
                return
            for state in list(self._in_force.states.values()):
                for version in _due(state):
                    try:
                        await self.learn(connection, state, version)
                    except (ServingError, LearningFailedError) as error:
                        log.error("model_not_taught version=%s why=%s", version.ref, error)
        finally:
            await connection.close()

    async def learn(
        self, connection: asyncpg.Connection, state: RouteState, version: Version
    ) -> Revision | None:
        """Make the next version and put it in the place of one; none if there is nothing new."""
        async with self._engine.connect() as reading:
            name = await self._next_name(reading, connection, version)
            found = await self._versions.find_any(reading, version.model, name)
        made = found[0] if found is not None else None
        if made is None:
            schema = state.lines[0].schema
            lessons = await self._lessons(connection, state, version, schema)
            if not lessons.rows:
                self._read_to[version.id] = lessons.until
                return None
            made = await self._teach(version, name, schema, lessons)
        count = made.manifest["learned"]["rows"]
        return await self._rollout.change(
            state.application.name,
            _replaced(state.revision.policy, version.ref, made.ref),
            Order(
                key=await self._key(version),
                begin=self._begin,
                reason=f"{made.ref} learned {count} labels since {version.ref}",
                evidence={"learned": made.manifest["learned"]},
                expected_revision=state.revision.revision,
            ),
        )

    async def _next_name(
        self, reading: AsyncConnection, connection: asyncpg.Connection, version: Version
    ) -> str:
        """The name of the version to come; one that was made and never routed is used first.

        A process may have ended between the two, and a person may have gone back to an older state.
        """
        root = _root(version)
        taken = await self._versions.of_model(reading, version.model)
        numbers = [int(m[1]) for one in taken if (m := re.fullmatch(
            re.escape(root) + r"\.(\d+)", one.version))]  # fmt: skip
        for one in reversed(taken):
            learned = one.manifest.get("learned") or {}
            if learned.get("from") == version.ref and not await labelled_rows.was_routed(
                connection, one.ref
            ):
                return one.version
        return f"{root}.{max(numbers, default=0) + 1}"

    async def _lessons(
        self, connection: asyncpg.Connection, state: RouteState, version: Version,
        schema: InputSchema,
    ) -> Lessons:  # fmt: skip
        learned = version.manifest.get("learned")
        after = self._read_to.get(version.id)
        if after is None:
            after = (
                (learned["until"][0], learned["until"][1]) if learned is not None
                else await labelled_rows.position_at(connection, version.created_at)
            )  # fmt: skip
        newest = await policy_statistics.newest(connection)
        rows: list[LabelledRow] = []
        while newest is not None and newest > after and len(rows) < MOST_ROWS:
            group = await policy_statistics.next_group(connection, after, newest, rows=GROUP_ROWS)
            if group is None:
                break
            found = await labelled_rows.completed(
                connection, group, state.application.id, schema.id
            )
            # A shadow's row stands beside the answer's own, with the same input and label.
            rows += [row for row in found if not row.flags & FLAG_SHADOW]
            after = group.until
        return Lessons(rows, after)

    async def _teach(
        self, version: Version, name: str, schema: InputSchema, lessons: Lessons
    ) -> Version:
        with tempfile.TemporaryDirectory(prefix="leadsman-learn-") as folder:
            out = Path(folder) / "state"
            told = await self._run(version, schema, lessons.rows, Path(folder), out)
            stored = await asyncio.to_thread(self._artefacts.keep_uri, str(out))
        learned = {
            "from": version.ref, "root": _root(version), "rows": told["learned"],
            "failed": told["failed"], "until": list(lessons.until),
        }  # fmt: skip
        manifest = {k: v for k, v in version.manifest.items() if k not in ("uri", "contents")}
        manifest |= {"version": name, "learned": learned}
        key = await self._key(version)
        async with self._engine.begin() as connection:
            made = await self._versions.create(
                connection, version.model, version=name, manifest=manifest, digest=stored.digest,
                size_bytes=stored.size_bytes, artefact=stored.name, created_by=key.id,
            )  # fmt: skip
            await models.copy_reference(connection, version.id, made.id)
        log.info("model_taught version=%s rows=%d failed=%d", made.ref, *map(told.get, told))
        return made

    async def _run(
        self, version: Version, schema: InputSchema, rows: Sequence[LabelledRow], folder: Path,
        out: Path,
    ) -> dict[str, int]:  # fmt: skip
        """Run the program that learns, and read what it tells."""
        found = await asyncio.to_thread(digest_of, version.artefact)
        if found != version.digest:
            raise LearningFailedError(f"expected sha256 {version.digest}, found {found}")
        python = await self._environments.python(version, self._python)
        lines = folder / "rows"
        await asyncio.to_thread(_write, lines, schema, rows)
        process = await asyncio.create_subprocess_exec(
            str(python or sys.executable), "-m", "serving.replica.learn",
            "--artefact", str(version.artefact.resolve()), "--rows", str(lines),
            "--out", str(out), "--parent", str(os.getpid()), cwd=_home(folder),
            env={"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(LEARN_WITHIN):
                told, said = await process.communicate()
        except TimeoutError:
            raise LearningFailedError(f"it took longer than {LEARN_WITHIN:g} s") from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            words = said.decode(errors="replace").strip()[-WORDS:]
            raise LearningFailedError(f"it ended with {process.returncode}: {words}")
        counted: dict[str, int] = json.loads(told.splitlines()[-1])
        return counted

    async def _key(self, version: Version) -> Key:
        """In whose right it acts: that of the key which registered the first of these versions."""
        async with self._engine.connect() as connection:
            owner = await models.created_by(connection, version.id)
            every = {key.id: key for key in await keys.every(connection)}
        if owner not in every or every[owner].revoked_at is not None:
            raise LearningFailedError("the key that registered the version was revoked")
        return every[owner]

    @contextlib.asynccontextmanager
    async def _begin(self) -> AsyncIterator["_Recording"]:
        async with self._engine.begin() as connection:
            yield _Recording(connection)


class LearningFailedError(Exception):
    """The next state could not be made; the version before goes on."""


@dataclass(frozen=True, slots=True)
class _Recording:
    connection: AsyncConnection

    async def revised(self, revision: Revision) -> None:
        """Nothing else belongs to the change."""


def _due(state: RouteState) -> list[Version]:
    """Versions of the route in force whose interval is over."""
    if state.revision.kind == "rollback" or not state.lines:
        return []
    now = datetime.now(UTC)
    return [
        version for version in state.lines[0].versions.values()
        if (every := version.manifest.get("learn_every")) is not None
        and now - version.created_at >= timedelta(seconds=every)
    ]  # fmt: skip


def _root(version: Version) -> str:
    learned = version.manifest.get("learned")
    return version.version if learned is None else str(learned["root"])


def _replaced(policy: Any, old: str, new: str) -> Any:
    """A policy with one version in the place of another, wherever it stands."""
    if isinstance(policy, dict):
        return {_replaced(k, old, new): _replaced(v, old, new) for k, v in policy.items()}
    if isinstance(policy, list):
        return [_replaced(one, old, new) for one in policy]
    return new if policy == old else policy


def _write(file: Path, schema: InputSchema, rows: Sequence[LabelledRow]) -> None:
    with file.open("w") as out:
        for row in rows:
            values = _values(row.input, schema)
            named = dict(zip(schema.features, values, strict=True))
            out.write(json.dumps({"row": named, "label": json.loads(row.label)}) + "\n")


def _values(block: bytes, schema: InputSchema) -> list[Any]:
    if schema.encoding == "json":
        values: list[Any] = json.loads(block)
        return values
    numbers = struct.unpack(f"<{len(schema.features)}d", block)
    return [None if number != number else number for number in numbers]  # noqa: PLR0124  # NaN


def _home(folder: Path) -> Path:
    """A folder that holds the replica's package and nothing else of ours, as replicas have it."""
    package = folder / "home" / "serving"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "replica").symlink_to(Path(serving.replica.__file__).parent)
    return folder / "home"
