"""Images of environments, each built once for all processes of the machine.

A build goes on where nobody waits for it any more: who asks again finds the image, or waits for the
rest of the same build. It runs in a thread that holds up no end of the process; the engine gives it
up then, and keeps the steps that were done.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from docker.errors import APIError, ImageNotFound

from serving.launchers.base import StartRefusedError
from serving.launchers.engine import Engine
from serving.launchers.environments import Environment

SILENCE = 1800
"""Seconds without a line from a build after which it counts as hung."""
WORDS = 2000
"""Characters of the end of a failed build's output that are told."""
PROGRESS = re.compile(r"^\s*(Step \d+/\d+|Collecting|Downloading|Installing|Building|Using cached)")
"""Lines of the engine and of pip that tell how far they are."""

log = logging.getLogger("serving.launchers")


class Images:
    """The images that an engine has, and those that are being built on it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._builds: dict[str, asyncio.Future[None]] = {}
        self._progress: dict[str, str] = {}

    def progress(self, of: Environment) -> str | None:
        """How far the build of an image is; none if this process builds none."""
        return self._progress.get(of.image)

    async def ensure(self, of: Environment) -> str:
        """The image of an environment, built if there is none.

        Raises
        ------
        StartRefusedError
            If it cannot be built; the error carries the end of what the build said.
        LauncherUnavailableError
            If the engine does not answer.
        """
        if of.image not in self._builds:
            if await self._engine.call(self._has, of.image):
                return of.image
            # Meanwhile another one may have begun.
            if of.image not in self._builds:
                self._begin(of)
        await asyncio.shield(self._builds[of.image])
        return of.image

    def _begin(self, of: Environment) -> None:
        loop = asyncio.get_running_loop()
        build = self._builds[of.image] = loop.create_future()
        self._progress[of.image] = "waiting for another process that builds its image"

        def finish(error: Exception | None) -> None:
            del self._builds[of.image], self._progress[of.image]
            if error is None:
                build.set_result(None)
            else:
                build.set_exception(error)
                # Perhaps nobody waits for it any more: then the log has told.
                build.exception()

        def run() -> None:
            error: Exception | None = None
            try:
                self._engine.translated(self._ensure, of)
            except Exception as raised:
                error = raised
                log.warning("image_not_built image=%s why=%s", of.image, str(raised)[:500])
            # The loop may have ended.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(finish, error)

        threading.Thread(target=run, name=f"build {of.image}", daemon=True).start()

    def _ensure(self, of: Environment) -> None:
        with _only_builder(of.image):
            if self._has(of.image):
                return
            log.info(
                "image_build_started image=%s base=%s requirements=%s",
                of.image, of.base, " ".join(of.requirements),
            )  # fmt: skip
            self._build(of)
            log.info("image_built image=%s", of.image)

    def _has(self, image: str) -> bool:
        try:
            self._engine.client().images.get(image)
        except ImageNotFound:
            return False
        return True

    def _build(self, of: Environment) -> None:
        words = failed = ""
        try:
            lines = self._engine.client().api.build(
                fileobj=of.context(), custom_context=True, tag=of.image, rm=True, forcerm=True,
                timeout=SILENCE, decode=True,
                buildargs={"BASE": of.base, "VERSION": metadata.version("leadsman")},
                labels={"dev.leadsman.environment": of.digest},
            )  # fmt: skip
            # To its end, also after an error: the connection is given back then.
            for line in lines:
                words = (words + _text(line))[-WORDS:]
                failed = failed or str(line.get("error") or "")
                if PROGRESS.match(_text(line)):
                    self._progress[of.image] = _text(line).strip()[:200]
        except APIError as error:
            raise _refused(of, str(error.explanation), words) from error
        if failed:
            raise _refused(of, failed, words)


def _text(line: dict[str, Any]) -> str:
    return str(line.get("stream") or line.get("error") or "")


def _refused(of: Environment, why: str, words: str) -> StartRefusedError:
    return StartRefusedError(
        f"the build of {of.image}", f"{why} (base image {of.base})\n{words.strip()}".strip()
    )


@contextmanager
def _only_builder(image: str) -> Iterator[None]:
    """Hold back other processes of this machine that want the same image."""
    place = Path(tempfile.gettempdir()) / f"{image.replace(':', '-')}-{os.geteuid()}.lock"
    while True:
        lock = os.open(place, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Who held it before has taken the file away: the next one makes another.
            if _is_file(lock, place):
                try:
                    yield
                finally:
                    place.unlink()
                return
        finally:
            os.close(lock)


def _is_file(descriptor: int, place: Path) -> bool:
    try:
        there = place.stat()
    except FileNotFoundError:
        return False
    mine = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)
