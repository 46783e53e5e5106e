"""The fields of one policy, read one by one; every wrong one is remembered."""

import math
import re
from collections.abc import Mapping
from typing import Any, TypeGuard

from serving.errors import FieldError, InvalidPolicyError, shown
from serving.policies.base import Stage
from serving.policies.share import Share, Step

_REF = re.compile(r"[^:\s]+:[^:\s]+")
_A_VERSION = 'a version as "model:version"'

MOST_VERSIONS = 256
"""Versions of one policy: each is a process, a container or a pod that is kept warm."""
MOST_STEPS = 1_000
"""Steps of a ramp."""
LONGEST_TEXT = 200
"""Characters of a key of the context."""


def _is_ref(value: Any) -> bool:
    return isinstance(value, str) and _REF.fullmatch(value) is not None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


class Fields:
    """Reads a policy's JSON."""

    def __init__(self, policy: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        """Begin; a field that is not allowed is wrong already."""
        self._policy = policy
        self.errors = [
            FieldError(f"/policy/{name}", f"one of kind, {', '.join(allowed)}", "an unknown field")
            for name in policy
            if name != "kind" and name not in allowed
        ]

    def wrong(self, name: str, expected: str) -> None:
        """Remember a wrong field."""
        value = self._policy.get(name)
        received = shown(value) if name in self._policy else "nothing"
        self.errors.append(FieldError(f"/policy/{name}", expected, received))

    def ref(self, name: str) -> str:
        """A version."""
        value = self._policy.get(name)
        if _is_ref(value):
            return str(value)
        self.wrong(name, _A_VERSION)
        return ""

    def refs(self, name: str, least: int = 1) -> tuple[str, ...]:
        """Several versions, each once."""
        value = self._policy.get(name)
        refs = value if isinstance(value, list) else []
        few = least <= len(refs) <= MOST_VERSIONS
        if few and all(map(_is_ref, refs)) and len(set(refs)) == len(refs):
            return tuple(refs)
        expected = f'an array of {least} to {MOST_VERSIONS} different versions as "model:version"'
        self.wrong(name, expected)
        return ()

    def share(self, name: str, default: float | None = None) -> float:
        """A number from 0 to 1."""
        value = self._policy.get(name, default)
        if _is_number(value) and 0 <= value <= 1:
            return float(value)
        self.wrong(name, "a number from 0 to 1")
        return 0.0

    def positive(self, name: str) -> float | None:
        """A number above 0 that may be absent."""
        value = self._policy.get(name)
        if value is None:
            return None
        if _is_number(value) and value > 0:
            return float(value)
        self.wrong(name, "a number above 0")
        return None

    def count(self, name: str, default: int, most: int) -> int:
        """A whole number from 1 on."""
        value = self._policy.get(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= max(most, 1):
            return value
        self.wrong(name, f"a whole number from 1 to {most}, the number of members")
        return default

    def floor(self, name: str, default: float, arms: int) -> float:
        """A smallest probability that all arms can have together."""
        value = self._policy.get(name, min(default, 0.5 / max(arms, 1)))
        if _is_number(value) and value >= 0 and value * arms <= 1:
            return float(value)
        self.wrong(name, f"a number from 0 to 1/{arms}, an even split of {arms} arms")
        return 0.0

    def text(self, name: str) -> str | None:
        """A text that may be absent."""
        value = self._policy.get(name)
        if value is None or (isinstance(value, str) and 1 <= len(value) <= LONGEST_TEXT):
            return value
        self.wrong(name, f"a text of 1 to {LONGEST_TEXT} characters")
        return None

    def one_of(self, name: str, values: tuple[str, ...]) -> str:
        """One of some words."""
        value = self._policy.get(name)
        if isinstance(value, str) and value in values:
            return value
        self.wrong(name, f"one of {', '.join(values)}")
        return values[0]

    def weights(self, name: str, members: tuple[str, ...]) -> tuple[float, ...]:
        """A number from 0 on for each member, by its name."""
        value = self._policy.get(name)
        given = value if isinstance(value, Mapping) else {}
        right = all(_is_number(one) and one >= 0 for one in given.values())
        if members and right and set(given) == set(members) and any(given.values()):
            return tuple(float(given[one]) for one in members)
        self.wrong(name, "an object with a number from 0 on for each member, not all 0")
        return tuple(1.0 for _ in members)

    def split(self, salt: str, default: float | None = None) -> Share:
        """A share with its schedule and the key that it sticks to: share, ramp, sticky_by."""
        ramp = self._ramp()
        # A ramp that begins with the revision says all; one that begins later needs a share before.
        if "share" not in self._policy and ramp and ramp[0].after_s == 0:
            start = ramp[0].share
        else:
            start = self.share("share", default)
        return Share(start, ramp, sticky_by=self.text("sticky_by"), salt=salt)

    def _ramp(self) -> tuple[Step, ...]:
        value = self._policy.get("ramp")
        if value is None:
            return ()
        if not isinstance(value, list) or not 1 <= len(value) <= MOST_STEPS:
            self.wrong("ramp", f'an array of 1 to {MOST_STEPS} steps, each {{"after_s", "share"}}')
            return ()
        steps: list[Step] = []
        for place, one in enumerate(value):
            path = f"/policy/ramp/{place}"
            if not isinstance(one, Mapping) or set(one) != {"after_s", "share"}:
                self.errors.append(FieldError(path, "an object of after_s and share", shown(one)))
                continue
            after, share = one["after_s"], one["share"]
            least = steps[-1].after_s if steps else -1.0
            if not (_is_number(after) and after >= 0 and after > least):
                expected = "seconds from 0 on, more than those of the step before"
                self.errors.append(FieldError(f"{path}/after_s", expected, shown(after)))
            elif not (_is_number(share) and 0 <= share <= 1):
                expected = "a number from 0 to 1"
                self.errors.append(FieldError(f"{path}/share", expected, shown(share)))
            else:
                steps.append(Step(float(after), float(share)))
        return tuple(steps)

    def stages(self, name: str) -> tuple[Stage, ...]:
        """Stages of a cascade: each but the last says when it is sure."""
        value = self._policy.get(name)
        if not isinstance(value, list) or not 2 <= len(value) <= MOST_VERSIONS:
            self.wrong(name, f"an array of 2 to {MOST_VERSIONS} stages")
            return ()
        stages: list[Stage] = []
        for place, one in enumerate(value):
            path, last = f"/policy/{name}/{place}", place == len(value) - 1
            if not isinstance(one, Mapping) or not set(one) <= {"version", "accept_at"}:
                self.errors.append(
                    FieldError(path, "an object of version and accept_at", shown(one))
                )
                continue
            ref, accept_at = one.get("version"), one.get("accept_at")
            if not _is_ref(ref) or any(ref == stage.version for stage in stages):
                expected = f"{_A_VERSION}, another one in each stage"
                self.errors.append(FieldError(f"{path}/version", expected, shown(ref)))
            elif last and accept_at is not None:
                expected = "nothing: the last stage's answer always stands"
                self.errors.append(FieldError(f"{path}/accept_at", expected, shown(accept_at)))
            elif not last and not (_is_number(accept_at) and 0 <= accept_at <= 1):
                received = shown(accept_at) if "accept_at" in one else "nothing"
                self.errors.append(
                    FieldError(f"{path}/accept_at", "a number from 0 to 1", received)
                )
            else:
                stages.append(Stage(str(ref), accept_at))
        return tuple(stages)

    def different(self, name: str, value: str, others: tuple[str, ...]) -> None:
        """A version may stand only once in a route."""
        if value and value in others:
            self.wrong(name, "another version than the champion")

    def done(self) -> None:
        """Raise what was wrong."""
        if self.errors:
            raise InvalidPolicyError(self.errors)
