"""The records of answers: encoded, given to the journal, counted."""

import logging
import time

from serving.active_route import FLAG_CACHED, FLAG_COMBINED, FLAG_DEFAULT, FLAG_SHADOW
from serving.batch import Outcome
from serving.copy_format import encode_prediction
from serving.counters import AnswerCounts
from serving.errors import UnavailableError
from serving.journal import Journal, Ticket
from serving.members import Told, Voice
from serving.prediction import Prediction
from serving.request import Request

log = logging.getLogger("serving.inference")


class Recorder:
    """Records what versions said, and counts it.

    Parameters
    ----------
    journal
        Takes the records.
    """

    def __init__(self, journal: Journal) -> None:
        self.counts: dict[str, AnswerCounts] = {}
        """By application, for metrics."""
        self._journal = journal

    def count(self, application: str) -> AnswerCounts:
        """The application's counters."""
        counts = self.counts.get(application)
        if counts is None:
            counts = self.counts[application] = AnswerCounts()
        return counts

    def record(self, asked: Request, told: Told) -> tuple[Prediction, Ticket]:
        """Give the record of an answer to the journal."""
        seconds = time.perf_counter() - asked.started
        route, version, answer = asked.route, told.version, told.answer
        reason = answer.outcome
        default = reason is not Outcome.ANSWERED
        prediction = Prediction(
            asked.id, route, version, route.default if default else answer.output, answer.scores,
            reason, int(seconds * 1e6), asked.at_us, answer.cached, told if told.voices else None,
        )  # fmt: skip
        flags = route.flags
        if default:
            flags |= FLAG_DEFAULT
        elif answer.cached:
            flags |= FLAG_CACHED
        if told.combined:
            flags |= FLAG_COMBINED
        row = encode_prediction(
            asked.at_us, asked.id, route.queues[version].version.id, route.application.id,
            route.revision, flags, int(reason) if default else None, prediction.latency_us,
            asked.choice.propensity, asked.block, prediction.output, answer.scores, asked.context,
        )  # fmt: skip
        ticket = self._journal.append_prediction(row, asked.at_us)
        if route.replaced:
            route.last_answer = time.time()
        counts = self.count(route.application.name)
        counts.histogram(version).observe(seconds)
        if default:
            kind = (version, int(reason))
            counts.defaults[kind] = counts.defaults.get(kind, 0) + 1
        if told.voices:
            self._record_voices(asked, told)
        return prediction, ticket

    def _record_voices(self, asked: Request, told: Told) -> None:
        """Record what each of several versions said by itself, as shadows are."""
        route = asked.route
        members = self.count(route.application.name).members
        if told.agreement is not None:
            members.agreement.observe(told.agreement)
        for voice in told.voices:
            members.count(voice.version, int(voice.answer.outcome))
            if voice.answer.outcome is not Outcome.ANSWERED:
                continue
            at_us = asked.at_us
            if voice.version == told.version:
                if not told.combined:
                    # Its own answer is the one that left.
                    continue
                # The common answer has its place in the primary key already.
                at_us = _beside(at_us)
            self.record_beside(asked, voice, at_us)

    def record_beside(self, asked: Request, voice: Voice, at_us: int) -> None:
        """Record one version's own answer beside the one that left."""
        route, answer = asked.route, voice.answer
        row = encode_prediction(
            at_us, asked.id, route.queues[voice.version].version.id, route.application.id,
            route.revision, FLAG_SHADOW | (FLAG_CACHED if answer.cached else 0), None,
            int(voice.seconds * 1e6), asked.choice.propensity, asked.block, answer.output,
            answer.scores, asked.context,
        )  # fmt: skip
        counts = self.count(route.application.name)
        try:
            self._journal.append_prediction(row, at_us)
        except UnavailableError as error:
            self.lose(route.application.name, voice.version, 0, error.detail)
            return
        counts.shadows[voice.version] = counts.shadows.get(voice.version, 0) + 1

    def lose(self, application: str, shadow: str, reason: int, why: str) -> None:
        lost = self.count(application).shadows_lost
        kind = (shadow, reason)
        lost[kind] = lost.get(kind, 0) + 1
        # Every thousandth: a shadow that is down would fill the log.
        if lost[kind] % 1000 == 1:
            log.warning(
                "shadow_lost application=%s version=%s count=%d why=%s",
                application, shadow, lost[kind], why,
            )  # fmt: skip


def _beside(at_us: int) -> int:
    """The neighbouring microsecond within the same millisecond, which is the one in the id."""
    return at_us + 1 if at_us % 1000 < 999 else at_us - 1
