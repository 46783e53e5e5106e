"""How deep JSON may be nested that is kept: it is read and written again by recursion."""

from collections.abc import Iterable
from typing import Any

import msgspec

MOST_LEVELS = 64
"""Arrays and objects within each other."""


def is_too_deep(value: Any) -> bool:
    """Whether a JSON value has more levels than `MOST_LEVELS`."""
    layer = [value]
    for _ in range(MOST_LEVELS):
        layer = [inner for one in layer for inner in _inside(one)]
        if not layer:
            return False
    return any(isinstance(one, list | dict) for one in layer)


def is_text_too_deep(text: bytes) -> bool:
    """Whether a JSON text has more levels than `MOST_LEVELS`; most are not even parsed for it."""
    if text.count(b"[") + text.count(b"{") <= MOST_LEVELS:
        return False
    try:
        return is_too_deep(msgspec.json.decode(text))
    except RecursionError:
        return True


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
