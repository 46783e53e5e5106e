"""Where an object in a cluster is not what it should be: from values to values."""

from typing import Any

WHOLE = ("selector", "matchLabels", "nodeSelector", "limits", "requests")
"""Mappings in which one entry more is a difference."""


def differences(wanted: Any, found: Any, path: str = "") -> list[str]:
    """Paths at which an object, as plain values, lacks what it should have or has too much.

    What the server adds to a mapping by itself, such as defaults, is no difference.
    """
    if isinstance(wanted, dict) and isinstance(found, dict):
        last = path.rpartition(".")[2]
        surplus = found.keys() - wanted.keys() if last in WHOLE and _is_flat(wanted) else ()
        parts = [(f"{path}.{name}", wanted[name], found.get(name)) for name in wanted]
        extra = [f"{path}.{name}" for name in sorted(surplus)]
    elif isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        parts = [(f"{path}[{n}]", *pair) for n, pair in enumerate(zip(wanted, found, strict=True))]
        extra = []
    else:
        return [] if wanted == found else [path.lstrip(".")]
    return [one for part in parts for one in differences(part[1], part[2], part[0])] + [
        one.lstrip(".") for one in extra
    ]


def _is_flat(value: dict[str, Any]) -> bool:
    return not any(isinstance(one, dict) for one in value.values())
