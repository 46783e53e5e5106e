"""A challenger answers a share of the requests."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from serving.policies.base import Choice


class Canary:
    """A challenger with a share of the traffic, sticky by a key of the context if one is named.

    A sticky split gives one caller the same version each time. It depends on the key's value and
    the challenger alone: whoever was in a share stays in it while the share grows.

    References
    ----------
    R. Kohavi, R. Longbotham, D. Sommerfield, R. Henne, Controlled experiments on the web, Data
    Mining and Knowledge Discovery 18, 2009, section 4.1: hash and partition.
    """

    def __init__(
        self, champion: str, challenger: str, share: float, sticky_by: str | None = None
    ) -> None:
        """Make the policy; `share` in [0, 1] goes to the challenger."""
        self._share = share
        self._sticky_by = sticky_by
        self._salt = challenger.encode()
        self._champion = Choice(champion, 1.0 - share if share < 1.0 else 1.0)
        self._challenger = Choice(challenger, share if share > 0.0 else 1.0)

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose the challenger with probability `share`."""
        if self._sticky_by is not None and context is not None and self._sticky_by in context:
            uniform = self._place(context[self._sticky_by])
        return self._challenger if uniform < self._share else self._champion

    def _place(self, value: Any) -> float:
        """Where a key's value falls in [0, 1), evenly over values."""
        # JSON text tells 1 from "1"; sorted so that an object's order does not matter.
        text = msgspec.json.encode(value, order="deterministic")
        digest = blake2b(self._salt + b"\0" + text, digest_size=8).digest()
        # 53 bits are what a float holds: more would round up to 1.
        return (int.from_bytes(digest, "big") >> 11) / 2**53

    def versions(self) -> tuple[str, ...]:
        """The champion and the challenger."""
        return (self._champion.primary, self._challenger.primary)
