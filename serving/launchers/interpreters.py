"""Interpreters of this machine, by release or by path."""

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from serving.launchers.base import StartRefusedError

_ASK = "import sys; print(sys.executable); print('%d.%d.%d' % sys.version_info[:3])"
PATIENCE = 20.0
"""Seconds in which an interpreter must say what it is."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that starts."""

    path: Path
    release: str

    @property
    def is_own(self) -> bool:
        """Whether it is of the service's own minor release."""
        own = f"{sys.version_info.major}.{sys.version_info.minor}."
        return self.release.startswith(own)


def find_interpreter(stated: str | None) -> Interpreter:
    """Find what a version asks for.

    Parameters
    ----------
    stated
        A release as `3.12`, or a path; none for the service's own.

    Raises
    ------
    StartRefusedError
        If none is found that starts; says which were tried.
    """
    own = Interpreter(Path(sys.executable).absolute(), platform.python_version())
    if stated is None or (os.path.sep not in stated and own.release.startswith(f"{stated}.")):
        # The base, so that an environment is not made out of another one.
        base = Path(getattr(sys, "_base_executable", sys.executable))
        return _asked(str(base)) or own
    names = [stated] if os.path.sep in stated else [f"python{stated}", "python3", "python"]
    for name in names:
        found = _asked(name)
        if found is not None and (os.path.sep in stated or _is_of(found, stated)):
            return found
    raise StartRefusedError(
        "the search for its interpreter",
        f"expected Python {stated}, found none that starts among {', '.join(names)}",
    )


def _is_of(found: Interpreter, stated: str) -> bool:
    return f"{found.release}.".startswith(f"{stated}.")


def _asked(name: str) -> Interpreter | None:
    """What an interpreter says of itself; none if it does not start."""
    path = shutil.which(name)
    if path is None:
        return None
    try:
        done = subprocess.run(
            [path, "-I", "-c", _ASK], capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        executable, release = done.stdout.split("\n")[:2]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(Path(executable), release)
