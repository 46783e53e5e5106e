"""A share of the requests: fixed, or growing by a schedule; sticky by a key of the context."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Step:
    """From when on a share holds."""

    after_s: float
    """Seconds since the revision was made."""
    share: float
    """In [0, 1]."""


def key_text(value: Any) -> bytes:
    """A value of a context as the same text each time: 1 and "1" differ, an object's order not."""
    return msgspec.json.encode(value, order="deterministic")


class Share:
    """Which requests belong to a share.

    A sticky one gives one caller the same each time. It depends on the key's value and the salt
    alone: whoever was in the share stays in it while it grows.

    References
    ----------
    R. Kohavi, R. Longbotham, D. Sommerfield, R. Henne, Controlled experiments on the web, Data
    Mining and Knowledge Discovery 18, 2009, section 4.1: hash and partition.
    """

    def __init__(
        self, start: float, ramp: Sequence[Step] = (), *, sticky_by: str | None = None, salt: str
    ) -> None:
        """Make a share.

        Parameters
        ----------
        start
            The share until the ramp's first step.
        ramp
            Steps in order of time.
        salt
            Sets which callers come first, so that they are not the same for every challenger.
        """
        self.shares = (start, *(step.share for step in ramp))
        """All that it will be, in order."""
        self.sticky_by = sticky_by
        self._after = [step.after_s for step in ramp]
        self._salt = salt.encode()

    def place_in_time(self, age: float) -> int:
        """Place in `shares` of the one that holds."""
        return bisect_right(self._after, age)

    def place_of(self, context: Mapping[str, Any] | None, uniform: float) -> float:
        """Where a request falls in [0, 1): inside the share if below it."""
        if self.sticky_by is None or context is None or self.sticky_by not in context:
            return uniform
        text = key_text(context[self.sticky_by])
        digest = blake2b(self._salt + b"\0" + text, digest_size=8).digest()
        # 53 bits are what a float holds: more would round up to 1.
        return (int.from_bytes(digest, "big") >> 11) / 2**53
