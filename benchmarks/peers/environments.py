"""Environments of the peers: made once, outside the checkout, and kept."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import sklearn

REQUIREMENTS = {
    "mlserver": ("mlserver==1.7.1", "mlserver-sklearn==1.7.1", "uvloop==0.21.0"),
    "bentoml": ("bentoml==1.4.39", "uvloop", "httptools"),
    "litserve": ("litserve==0.2.19",),
    "mosec": ("mosec==0.9.8",),
}
"""What each peer needs besides the model's own scikit-learn. MLServer's workers cannot start under
newer releases of uvloop."""


def cache_folder() -> Path:
    """Where environments are kept, by the XDG base directory specification."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "leadsman-benchmarks"


def environment(peer: str) -> Path:
    """The Python of a peer's environment; made if it is not there.

    Raises
    ------
    SystemExit
        If it cannot be installed, with the installer's own words.
    """
    wanted = (*REQUIREMENTS[peer], f"scikit-learn=={sklearn.__version__}", "joblib")
    tag = hashlib.sha256("\n".join((sys.version, *wanted)).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{peer}-{tag}"
    python = folder / "bin" / "python"
    if (folder / "ready").exists():
        return python
    print(f"installing {', '.join(wanted)} into {folder}", file=sys.stderr)
    shutil.rmtree(folder, ignore_errors=True)
    uv = shutil.which("uv")
    if uv is not None:
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
        _run(uv, "pip", "install", "--quiet", "--python", str(python), *wanted)
    else:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(str(python), "-m", "pip", "install", "--quiet", *wanted)
    (folder / "ready").touch()
    return python


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command[:6])} … failed:\n{done.stderr.strip()[-2000:]}")
