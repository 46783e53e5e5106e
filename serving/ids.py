"""Identifiers of predictions: UUIDs of version 7 that carry the moment of arrival.

References
----------
RFC 9562, section 5.7: 48 bits of milliseconds since 1970, version, 74 random bits.
"""

import os
from collections.abc import Iterator
from uuid import UUID

_VERSION = 0x7 << 76
_VARIANT = 0b10 << 62
_RANDOM = ((1 << 12) - 1) << 64 | (1 << 62) - 1
"""The bits that are neither time nor version nor variant."""
_DRAWN = 4096
"""Bytes that are asked of the system's generator at once: each call is a system call."""


def _tails() -> Iterator[int]:
    """All of an id but its time, again and again."""
    while True:
        drawn = os.urandom(_DRAWN)
        # Ten random bytes are 80 bits; the mask keeps the 74 that the form leaves free.
        for place in range(0, _DRAWN - 9, 10):
            random = int.from_bytes(drawn[place : place + 10], "big")
            yield random & _RANDOM | _VERSION | _VARIANT


class _Source:
    """Where the next id comes from: a process that is forked off draws bytes of its own."""

    tails = _tails()

    @classmethod
    def renew(cls) -> None:
        cls.tails = _tails()


os.register_at_fork(after_in_child=_Source.renew)


def new_prediction_id(now_us: int) -> bytes:
    """Make the id of a prediction that arrived at a moment; from one thread at a time.

    Parameters
    ----------
    now_us
        Microseconds since 1970, UTC; the id keeps the whole milliseconds.
    """
    return ((now_us // 1000) << 80 | next(_Source.tails)).to_bytes(16, "big")


def time_of(prediction_id: bytes) -> int:
    """Microseconds since 1970 of the id's millisecond; the arrival is less than 1 ms later."""
    return int.from_bytes(prediction_id[:6], "big") * 1000


def is_prediction_id(value: UUID) -> bool:
    """Whether a UUID has the form that `new_prediction_id` gives."""
    return value.version == 7


def text_of(prediction_id: bytes) -> str:
    """Give the usual text of an id: 8-4-4-4-12 hexadecimal digits."""
    digits = prediction_id.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
