"""Policies learn from the record: shipped feedback in order of commits, each answer once.

What was learned and the place up to which the record was read change in one transaction. So an
answer counts once whatever process is killed when, and any number of serving processes agree: one
of them learns at a time, all read the same sums.
"""

import asyncio
import contextlib
import json
import logging
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import asyncpg

from serving.errors import InvalidPolicyError
from serving.inference import FLAG_DEFAULT, FLAG_PINNED, FLAG_SHADOW, Inference
from serving.learned import KEYS_KEPT
from serving.policies import parse
from serving.policies.bandit import Learner, key_of
from serving.policies.base import ArmStatistics, Experience
from serving.policies.exp4 import Exp4
from serving.policies.loss import loss_of
from serving.policies.parsing import LEARNERS
from serving.store import policy_statistics
from serving.store.policy_statistics import CHANNEL, Ground, Lesson, StateKey
from serving.store.shipments import CHANNEL as SHIPMENTS

GROUP_ROWS = 5_000
"""Most rows of the record that one transaction reads."""
GATHERING_SECONDS = 0.1
"""How long a first shipment waits for others."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
"""Seconds between two tries to reach Postgres: doubled each time, with jitter."""
COMMAND_SECONDS = 30.0
"""A Postgres that says nothing for so long is taken for lost."""

log = logging.getLogger("serving.learning")

_AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a lost or restarting Postgres looks like."""

Sums = dict[tuple[StateKey, int], ArmStatistics]
"""By state and version id."""


@dataclass(frozen=True, slots=True)
class Pupil:
    """A revision's policy, and what is needed to judge its answers."""

    policy: Learner
    numeric: bool
    arms: frozenset[int]
    """Ids of its versions."""


_loss = lru_cache(maxsize=10_000)(loss_of)


def lesson_of(pupil: Pupil, lesson: Lesson) -> tuple[str, ArmStatistics] | None:
    """What one answer teaches: the key, and what is to be added; None if nothing.

    An answer that a client chose the version of teaches nothing: no policy chose it. Where all
    arms are asked, each one's own answer counts, and the common one does not. A default answer
    counts as a whole loss of the arm that was to answer: its client got nothing better.
    """
    own = lesson.flags & FLAG_SHADOW != 0
    all_asked = isinstance(pupil.policy, Exp4)
    if lesson.flags & FLAG_PINNED or own != all_asked or lesson.version_id not in pupil.arms:
        return None
    loss: float | None = 1.0
    if not lesson.flags & FLAG_DEFAULT:
        loss = _loss(
            lesson.output, lesson.label, numeric=pupil.numeric, scale=pupil.policy.loss_scale
        )
    if loss is None:
        return None
    context = None if lesson.context is None else json.loads(lesson.context)
    key = key_of(pupil.policy.state_by, context if isinstance(context, dict) else None)
    return key, ArmStatistics(1, loss, loss / lesson.propensity)


def sums_of(pupils: Mapping[tuple[int, int], Pupil], lessons: Sequence[Lesson]) -> Sums:
    """Add up what answers teach.

    Parameters
    ----------
    pupils
        By application and revision.
    """
    sums: Sums = defaultdict(ArmStatistics)
    for lesson in lessons:
        pupil = pupils.get((lesson.application_id, lesson.revision))
        found = None if pupil is None else lesson_of(pupil, lesson)
        if pupil is None or found is None:
            continue
        key, more = found
        place = ((lesson.application_id, pupil.policy.state_name, key), lesson.version_id)
        known = sums[place]
        sums[place] = ArmStatistics(
            known.count + more.count,
            known.loss + more.loss,
            known.weighted_loss + more.weighted_loss,
        )
    return dict(sums)


class Learning:
    """Keeps the process's `Learned` up to date, and learns when nobody else does.

    Parameters
    ----------
    poll
        Seconds between two looks where no notice comes.
    """

    def __init__(self, url: str, inference: Inference, *, poll: float) -> None:
        self._url = url
        self._inference = inference
        self._poll = poll
        self._pupils: dict[tuple[int, int], Pupil | None] = {}
        self._turn = 0
        self._wake = asyncio.Event()
        self._stale = False
        self._shipped = False

    async def run(self) -> None:
        """Learn for ever; Postgres may come and go."""
        pause = FIRST_PAUSE
        while True:
            turn = self._turn
            try:
                await self._follow()
            except _AWAY as error:
                log.warning("learning_interrupted error=%r pause=%.1f", error, pause)
            if self._turn > turn:
                pause = FIRST_PAUSE
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _follow(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=5, command_timeout=COMMAND_SECONDS,
            server_settings={"application_name": "leadsman learning"},
        )  # fmt: skip
        try:
            # Listens before it reads: what changes in between is then heard of.
            await connection.add_listener(CHANNEL, self._hear_learned)
            await connection.add_listener(SHIPMENTS, self._hear_shipped)
            connection.add_termination_listener(lambda _: self._wake.set())
            loop = asyncio.get_running_loop()
            due = loop.time()
            while not connection.is_closed():
                polled = loop.time() >= due
                if polled:
                    due = loop.time() + self._poll
                if polled or self._stale:
                    self._stale = False
                    await self._read(connection)
                if polled or self._shipped:
                    self._shipped = False
                    while await self.learn(connection):
                        pass
                await self._wait_for_news(due - loop.time())
            raise ConnectionResetError("the connection that listens was lost")
        finally:
            connection.terminate()

    def _hear_learned(self, *_: object) -> None:
        self._stale = True
        self._wake.set()

    def _hear_shipped(self, *_: object) -> None:
        # Labels for a route that was left can wait for the poll.
        if not self._shipped and self._has_learners():
            self._shipped = True
            loop = asyncio.get_running_loop()
            loop.call_later(GATHERING_SECONDS, self._wake.set)

    def _has_learners(self) -> bool:
        routes = self._inference.routes.values()
        return any(isinstance(route.policy, Learner) for route in routes)

    async def _wait_for_news(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._wake.wait()
        self._wake.clear()

    async def _read(self, connection: asyncpg.Connection) -> None:
        """Take over what any process learned since."""
        self._turn, states = await policy_statistics.changed(
            connection, self._turn, limit=KEYS_KEPT
        )
        for state, arms in states.items():
            self._inference.learned.replace(*state, Experience(arms))

    async def learn(self, connection: asyncpg.Connection) -> bool:
        """Learn from the next group of shipments; whether there may be more."""
        async with connection.transaction():
            after = await policy_statistics.hold_cursor(connection)
            if after is None:
                return False
            # The record first, then the revisions: an answer that is in the record was made by a
            # revision that is there by then.
            newest = await policy_statistics.newest(connection)
            if newest is None or newest <= after:
                return False
            grounds = await policy_statistics.grounds(connection, list(LEARNERS))
            if not grounds:
                # Nobody learns: nothing up to here will ever be asked for.
                await policy_statistics.add(connection, newest, {})
                return False
            pupils = await self._know(connection, grounds)
            group = await policy_statistics.next_group(connection, after, newest, rows=GROUP_ROWS)
            if group is None:
                return False
            applications = sorted({application for application, _ in pupils})
            lessons = await policy_statistics.lessons(connection, group, applications)
            # In a thread: the loop answers requests meanwhile.
            sums = await asyncio.to_thread(sums_of, pupils, lessons)
            await policy_statistics.add(connection, group.until, sums)
        if sums:
            log.debug("learned lessons=%d states=%d", len(lessons), len(sums))
        return group.until < newest

    async def _know(
        self, connection: asyncpg.Connection, grounds: Sequence[Ground]
    ) -> dict[tuple[int, int], Pupil]:
        """Read the policies of revisions; each is read once, since none is ever edited."""
        for ground in grounds:
            place = (ground.application_id, ground.revision)
            if place in self._pupils:
                continue
            try:
                policy = parse(json.loads(ground.policy))
            except InvalidPolicyError as error:
                # An older release wrote it; its labels teach nobody.
                log.warning("policy_not_read revision=%s why=%s", place, error.detail)
                self._pupils[place] = None
                continue
            assert isinstance(policy, Learner), "the kinds that were asked for learn"
            ids = await policy_statistics.version_ids(connection, policy.arms)
            self._pupils[place] = Pupil(
                policy, ground.task == "regression", frozenset(ids.values())
            )
        return {place: pupil for place, pupil in self._pupils.items() if pupil is not None}
