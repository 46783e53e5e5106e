"""Losses of a champion and its canary, which answer different rows, dealt out by chance."""

import numpy as np

from monitor.feed.columns import Ints
from monitor.feed.join import Stretch
from monitor.records import PINNED, Registry, Route
from monitor.signals.base import CANARY_DIFFERENCE, Extracted, Observations, applications_in
from monitor.signals.losses import loss

LEAST_SHARE = 0.01
"""Rows of which champion or canary got less than this share say too little about it."""


def canaries(stretch: Stretch, registry: Registry) -> Extracted:
    """Losses of rows that a canary's route dealt out, with the shares as they were recorded."""
    found: Extracted = {}
    answers, joined = stretch.answers, stretch.labelled
    # Where the client named the version nothing was dealt out.
    dealt_out = answers.flags[joined.answer] & PINNED == 0
    served = answers.in_service[joined.answer] & dealt_out
    for number in applications_in([answers.application[joined.answer]]):
        application, route = registry.applications.get(number), registry.routes.get(number)
        if application is None or route is None:
            continue
        mine = np.flatnonzero(served & (answers.application[joined.answer] == number))
        row, label = joined.answer[mine], joined.label[mine]
        new, old, place = _dealt(answers.revision[row], registry, route)
        version = answers.version[row]
        challenger = version == new[place]
        value = loss(application.task, answers.output.take(row), stretch.labels.value.take(label))
        chosen = (new[place] > 0) & (challenger | (version == old[place])) & ~np.isnan(value)
        if not chosen.any():
            continue
        share = answers.propensity[row]
        # The share was drawn before the answer, so leaving rows out by it is fair.
        chosen &= (share >= LEAST_SHARE) & (share <= 1.0 - LEAST_SHARE)
        if not chosen.any():
            continue
        dealt = np.stack([challenger, np.where(challenger, share, 1.0 - share)], axis=1)
        pairs, code = np.unique(
            np.stack([new[place], old[place]], axis=1)[chosen], axis=0, return_inverse=True
        )
        found[number, CANARY_DIFFERENCE] = Observations(
            joined.event[mine][chosen],
            stretch.labels.at[label[chosen]],
            answers.id[row[chosen]],
            code.reshape(-1).astype(np.int64),
            tuple(f"{one},{other}" for one, other in pairs.tolist()),
            value[chosen],
            answers.revision[row[chosen]],
            row=row[chosen],
            dealt=dealt[chosen].astype(np.float64),
        )
    return found


def _dealt(revision: Ints, registry: Registry, route: Route) -> tuple[Ints, Ints, Ints]:
    """Canary and champion of each state, 0 where a state has no canary, and each row's state."""
    states, place = np.unique(revision, return_inverse=True)
    new, old = np.zeros(len(states), np.int64), np.zeros(len(states), np.int64)
    for number, state in enumerate(states.tolist()):
        found = route.at(state)
        if found is None or found.policy.get("kind") != "canary" or not found.champion:
            continue
        champion = registry.version_named(found.champion)
        challenger = registry.version_named(next(iter(found.challengers), ""))
        if champion is not None and challenger is not None:
            new[number], old[number] = challenger.id, champion.id
    return new, old, place
