"""Environments of the packages compared: made once, outside the checkout, and kept."""

import hashlib
import shutil
import sys
from pathlib import Path

from peers.environments import _run as run
from peers.environments import cache_folder

REQUIREMENTS = {
    # Neither starts with what a plain install brings: Evidently needs an older pandas, NannyML a
    # package that it does not name.
    "evidently": ("evidently==0.7.23", "pandas<3"),
    "nannyml": ("nannyml==0.13.1", "statsmodels", "pandas<3"),
    "frouros": ("frouros==0.9.0", "pandas<3"),
}
"""What each needs."""


def environment(package: str) -> Path:
    """The Python of a package's environment; made if it is not there.

    Raises
    ------
    SystemExit
        If it cannot be installed, with the installer's own words.
    """
    wanted = REQUIREMENTS[package]
    tag = hashlib.sha256("\n".join((sys.version, *wanted)).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{package}-{tag}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    print(f"installing {', '.join(wanted)} into {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    if uv is not None:
        run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        run(uv, "pip", "install", "--quiet", "--python", str(python), *wanted)
    else:
        run(sys.executable, "-m", "venv", str(folder))
        run(str(python), "-m", "pip", "install", "--quiet", *wanted)
    (folder / "ready").touch()
    return python
