"""From the JSON of a route to its policy."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from serving.errors import FieldError, InvalidPolicyError, shown
from serving.policies import custom
from serving.policies.base import Policy
from serving.policies.canary import Canary
from serving.policies.shadow import Shadow
from serving.policies.single import Single

_REF = re.compile(r"[^:\s]+:[^:\s]+")


class _Fields:
    """The fields of one policy, read one by one; every wrong one is remembered."""

    def __init__(self, policy: Mapping[str, Any], allowed: tuple[str, ...]) -> None:
        self._policy = policy
        self.errors = [
            FieldError(f"/policy/{name}", f"one of kind, {', '.join(allowed)}", "an unknown field")
            for name in policy
            if name != "kind" and name not in allowed
        ]

    def _wrong(self, name: str, expected: str) -> None:
        value = self._policy.get(name)
        received = shown(value) if name in self._policy else "nothing"
        self.errors.append(FieldError(f"/policy/{name}", expected, received))

    def ref(self, name: str) -> str:
        """A version."""
        value = self._policy.get(name)
        if isinstance(value, str) and _REF.fullmatch(value):
            return value
        self._wrong(name, 'a version as "model:version"')
        return ""

    def refs(self, name: str) -> tuple[str, ...]:
        """One version or more, each once."""
        value = self._policy.get(name)
        refs = value if isinstance(value, list) else []
        right = all(isinstance(one, str) and _REF.fullmatch(one) for one in refs)
        if refs and right and len(set(refs)) == len(refs):
            return tuple(refs)
        self._wrong(name, 'an array of different versions, each as "model:version"')
        return ()

    def share(self, name: str, default: float | None = None) -> float:
        """A number from 0 to 1."""
        value = self._policy.get(name, default)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
            return float(value)
        self._wrong(name, "a number from 0 to 1")
        return 0.0

    def text(self, name: str) -> str | None:
        """A text that may be absent."""
        value = self._policy.get(name)
        if value is None or (isinstance(value, str) and value):
            return value
        self._wrong(name, "a text")
        return None

    def different(self, name: str, value: str, others: tuple[str, ...]) -> None:
        """A version may stand only once in a route."""
        if value and value in others:
            self._wrong(name, "another version than the champion")

    def done(self) -> None:
        """Raise what was wrong."""
        if self.errors:
            raise InvalidPolicyError(self.errors)


def _single(policy: Mapping[str, Any]) -> Policy:
    fields = _Fields(policy, ("champion",))
    champion = fields.ref("champion")
    fields.done()
    return Single(champion)


def _canary(policy: Mapping[str, Any]) -> Policy:
    fields = _Fields(policy, ("champion", "challenger", "share", "sticky_by"))
    champion, challenger = fields.ref("champion"), fields.ref("challenger")
    fields.different("challenger", champion, (challenger,))
    share, sticky_by = fields.share("share"), fields.text("sticky_by")
    fields.done()
    return Canary(champion, challenger, share, sticky_by)


def _shadow(policy: Mapping[str, Any]) -> Policy:
    fields = _Fields(policy, ("champion", "challengers", "share"))
    champion, challengers = fields.ref("champion"), fields.refs("challengers")
    fields.different("challengers", champion, challengers)
    share = fields.share("share", 1.0)
    fields.done()
    return Shadow(champion, challengers, share)


def _custom(policy: Mapping[str, Any]) -> Policy:
    path = policy.get("class")
    if not isinstance(path, str) or ":" not in path:
        expected = 'a class as "package.module:Class"'
        raise InvalidPolicyError([FieldError("/policy/class", expected, shown(path))])
    options = {name: value for name, value in policy.items() if name not in ("kind", "class")}
    try:
        return custom.load(path, options)
    except ValueError as error:
        expected = "a class that makes a policy"
        raise InvalidPolicyError([FieldError("/policy/class", expected, str(error))]) from error


_KINDS: dict[str, Callable[[Mapping[str, Any]], Policy]] = {
    "single": _single, "canary": _canary, "shadow": _shadow, "custom": _custom,
}  # fmt: skip


def parse(policy: Any) -> Policy:
    """Make a policy from its JSON.

    Raises
    ------
    InvalidPolicyError
        With every field that is wrong; paths begin with `/policy`.
    """
    if not isinstance(policy, Mapping):
        raise InvalidPolicyError([FieldError("/policy", "an object", shown(policy))])
    kind = policy.get("kind")
    make = _KINDS.get(kind) if isinstance(kind, str) else None
    if make is None:
        received = shown(kind) if "kind" in policy else "nothing"
        expected = f"one of {', '.join(_KINDS)}"
        raise InvalidPolicyError([FieldError("/policy/kind", expected, received)])
    return make(policy)
