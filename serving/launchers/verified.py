"""A launcher that looks at an artefact's digest before anything of it is loaded."""

import asyncio
import os
from pathlib import Path

from serving.artefacts import contents_of, digest_of
from serving.launchers.base import (
    UNLIMITED,
    Launcher,
    Limits,
    Prepares,
    Replica,
    StartRefusedError,
)
from serving.records import Version

_Marks = tuple[tuple[int, int, int, int], ...]
"""Of each file: inode, size, and when it and its entry were changed last, in nanoseconds."""


class VerifyingLauncher:
    """Starts replicas of artefacts that are what was registered, by another launcher.

    A digest that was right is not worked out again as long as the files' marks stay: a large model
    whose replica died is needed soon, and no write leaves them as they were.
    """

    def __init__(self, launcher: Launcher) -> None:
        self.launcher = launcher
        """Who starts them."""
        self._right: dict[Path, tuple[str, _Marks]] = {}

    async def start(
        self,
        version: Version,
        *,
        python: Path | None,
        features: tuple[str, ...],
        limits: Limits = UNLIMITED,
    ) -> Replica:
        """Verify the digest, then start; raises `StartRefusedError` where it is another."""
        await asyncio.to_thread(self._verify, version)
        return await self.launcher.start(version, python=python, features=features, limits=limits)

    def _verify(self, version: Version) -> None:
        path, marks = version.artefact, _marks(version.artefact)
        # Of a folder the digest is that of the archive; one from before contents were kept has
        # nothing to compare with.
        expected = version.manifest.get("contents") if path.is_dir() else version.digest
        if expected is None or self._right.get(path) == (expected, marks):
            return
        found = contents_of(path) if path.is_dir() else digest_of(path)
        if found != expected:
            raise StartRefusedError(
                "the check of its artefact",
                f"expected sha256 {expected} as registered, found {found}: it was changed on disk",
            )
        self._right[path] = (expected, marks)

    async def find(self) -> list[Replica]:
        """As the launcher finds them."""
        return await self.launcher.find()

    async def prepare(self, version: Version, python: Path | None) -> None:
        """As the launcher does, if it has anything to make."""
        if isinstance(self.launcher, Prepares):
            await self.launcher.prepare(version, python)

    def progress(self, version: Version) -> str | None:
        """As the launcher tells it, if it does."""
        launcher = self.launcher
        return launcher.progress(version) if isinstance(launcher, Prepares) else None


def _marks(path: Path) -> _Marks:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return tuple(_mark(one.stat()) for one in files)


def _mark(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
