"""Whether an environment that somebody else made carries what a version requires."""

import platform
import re
from collections.abc import Sequence

from serving.replica.inspection.releases import installed

_REQUIREMENT = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[[^\]]*\])?\s*(==\s*(?P<release>[^\s,;*]+)\s*$)?"
)


def unmet(requirements: Sequence[str], python: str | None = None) -> str | None:
    """Say what is missing or of another release, in one sentence; none where nothing is.

    Parameters
    ----------
    requirements
        As a requirements file has them. Held to are names and exact releases (`==`); ranges are for
        the resolver that made the environment, and lines with a marker for another machine.
    python
        The Python that the version states, as `3.12` or `3.12.1`.
    """
    here = platform.python_version()
    if python is not None and not f"{here}.".startswith(f"{python}."):
        return f"the version states Python {python} and this environment has {here}"
    for line in requirements:
        if ";" in line or (match := _REQUIREMENT.match(line)) is None:
            continue
        name, wanted = match["name"], match["release"]
        found = installed(name.lower())
        if found is None:
            return f"the version requires {line} and this environment does not have {name}"
        if wanted is not None and found != wanted:
            return f"the version requires {line} and this environment has {name} {found}"
    return None
