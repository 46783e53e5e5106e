"""Whether an environment's releases can load what another one's wrote."""

import re
from collections.abc import Mapping
from importlib import metadata

SAME_MINOR = frozenset({"scikit-learn"})
"""Distributions that load only what the same minor release wrote: they say so themselves. Of the
others a newer release loads what an older one wrote, and not the other way round."""

OTHER_NAMES = {
    "xgboost": ("xgboost", "xgboost-cpu"),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "pyspark": ("pyspark", "pyspark-client"),
}
"""Distributions that hold the same package."""


def mismatch(made_with: Mapping[str, str]) -> str | None:
    """Say what does not fit, in one sentence with both releases; none where all does.

    A distribution that is not installed is no mismatch: its own import says that it is missing.
    """
    for name, wrote in made_with.items():
        here = installed(name)
        if here is None or _fits(name, wrote, here):
            continue
        return (
            f"the artefact was made with {name} {wrote} and this environment has {name} {here}: "
            f'state "{name}=={wrote}" in the requirements of the version, or save it anew with '
            f"{here}"
        )
    return None


def installed(name: str) -> str | None:
    """The release of a distribution, under any of its names."""
    for one in OTHER_NAMES.get(name, (name,)):
        try:
            return metadata.version(one)
        except metadata.PackageNotFoundError:
            continue
    return None


def _fits(name: str, wrote: str, here: str) -> bool:
    one, other = _minor(wrote), _minor(here)
    return one == other if name in SAME_MINOR else one <= other


def _minor(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release)[:2])
