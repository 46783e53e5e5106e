"""Images that tests need, made on this machine where no registry is at hand."""

import shutil
import subprocess
import sys
from pathlib import Path

from leadsman.postgres_binaries import wheel_bin_dir

ROOT = Path(__file__).parents[2]
RELEASE = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE = f"python:{RELEASE}-slim"
"""The public base, or what `deploy/base-image` made in its place."""


def docker(*words: str) -> str:
    """Run the engine's client; return what it printed."""
    done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, (
        f"docker {' '.join(words)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    )
    return done.stdout.strip()


def is_there(image: str) -> bool:
    """Whether the engine has an image."""
    found = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    return found.returncode == 0


def base_image() -> str:
    """The base of every image here; made from this machine where there is none."""
    if not is_there(BASE):
        subprocess.run([ROOT / "deploy/base-image", sys.executable, BASE], check=True)
    return BASE


def our_image(version: str) -> str:
    """The image of serving, monitor and the rest, built from this checkout."""
    tag = f"leadsman:{version}"
    docker(
        "build", "-q", "-f", str(ROOT / "deploy/Dockerfile"), "-t", tag,
        "--build-arg", f"BASE={base_image()}", "--build-arg", f"VERSION={version}", str(ROOT),
    )  # fmt: skip
    return tag


def postgres_image(folder: Path) -> str:
    """The public Postgres if the engine has it, else one that stands for it.

    Parameters
    ----------
    folder
        Empty; for what the build reads.
    """
    if is_there("postgres:18"):
        return "postgres:18"
    tag = "leadsman-test-postgres:18"
    for file in (ROOT / "tests/support/postgres_image").iterdir():
        shutil.copy(file, folder)
    package = wheel_bin_dir().parents[1]
    # Its programs find their libraries beside the package.
    for one in (package, package.with_name(f"{package.name}.libs")):
        shutil.copytree(one, folder / "wheel" / one.name, symlinks=True)
    docker("build", "-q", "-t", tag, "--build-arg", f"BASE={base_image()}", str(folder))
    return tag
