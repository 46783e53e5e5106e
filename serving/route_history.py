"""Which revision a rollback returns to: values in, values out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from serving.records import Revision


@dataclass(frozen=True, slots=True)
class _Entry:
    origin: int
    """The change that first put this state in force."""
    revision: Revision
    """The revision that last put it in force."""


def leader(policy: dict[str, Any]) -> str:
    """Whose answers count under a policy: the champion, else all that the policy says."""
    champion = policy.get("champion")
    return champion if isinstance(champion, str) else json.dumps(policy, sort_keys=True)


def _stack(history: Sequence[Revision]) -> list[_Entry]:
    """States that can be returned to, the one in force last.

    A change pushes. A rollback pops down to the state it restores, so that a state that was left
    because it was bad is never what the next rollback finds; where an operator restores a state
    that had been left, it is pushed again.
    """
    stack: list[_Entry] = []
    origins: dict[int, int] = {}
    for one in history:
        if one.restores is None:
            origins[one.revision] = one.revision
            stack.append(_Entry(one.revision, one))
            continue
        origin = origins[one.revision] = origins[one.restores]
        place = next((i for i, entry in enumerate(stack) if entry.origin == origin), len(stack))
        stack[place:] = [_Entry(origin, one)]
    return stack


def last_goods(history: Sequence[Revision], count: int) -> list[Revision]:
    """The revisions that rollbacks without a target would return to, one after the other.

    Parameters
    ----------
    history
        Every revision of the application, the oldest first.
    count
        How many at most.

    Returns
    -------
    list of Revision
        Below the one in force, the nearest first, each with another champion than the one above.
    """
    found: list[Revision] = []
    stack = _stack(history)
    if not stack:
        return found
    now = leader(stack[-1].revision.policy)
    for entry in reversed(stack[:-1]):
        if len(found) == count:
            break
        below = leader(entry.revision.policy)
        if below != now:
            found.append(entry.revision)
            now = below
    return found


def last_good(history: Sequence[Revision]) -> Revision | None:
    """The revision that a rollback without a target returns to: the first of `last_goods`."""
    return next(iter(last_goods(history, 1)), None)
