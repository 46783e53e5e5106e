"""The container engine, and the images that it is asked to build."""

import asyncio
import fcntl
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import docker
import requests
from docker.errors import APIError, BuildError, DockerException, ImageNotFound, NotFound

from serving.launchers.base import LauncherUnavailableError, StartRefusedError
from serving.launchers.calls import Calls
from serving.launchers.environments import Environment

TIMEOUT = 30
"""Seconds in which the engine must answer; building an image has its own."""
BUILD_TIMEOUT = 1800
"""Seconds without a line from a build after which it counts as hung."""
BUILD_WORDS = 2000
"""Characters of the end of a failed build's output that are told."""

log = logging.getLogger("serving.launchers")


class Engine(Calls):
    """A Docker Engine, as the environment names it (`DOCKER_HOST` and its companions).

    Parameters
    ----------
    url
        Address in place of what the environment says.
    """

    def __init__(self, url: str | None = None) -> None:
        super().__init__("containers")
        self._url = url
        self._client: Any = None
        self._builds: dict[str, asyncio.Lock] = {}

    def client(self) -> Any:
        """The SDK's client; made at the first call, which is when somebody must answer."""
        if self._client is None:
            made = docker.from_env if self._url is None else _at(self._url)
            self._client = made(timeout=TIMEOUT)
        return self._client

    def _in_our_words(self, error: Exception) -> OSError | None:
        if isinstance(error, NotFound):
            return None
        if isinstance(error, APIError):
            return StartRefusedError("the container engine", error.explanation or str(error))
        if isinstance(error, DockerException | requests.RequestException):
            what = f"the container engine at {self._url or 'its usual address'}"
            return LauncherUnavailableError(what, _reason(error))
        return None

    async def image(self, of: Environment) -> str:
        """The image of an environment, built if there is none; one build at a time for each.

        Raises
        ------
        StartRefusedError
            If it cannot be built; the error carries the end of what the build said.
        """
        async with self._builds.setdefault(of.image, asyncio.Lock()):
            await self.call(self._ensure, of)
        return of.image

    def _ensure(self, of: Environment) -> None:
        # Looked for first without the lock, which a build holds for minutes.
        if self._has(of.image):
            return
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
            self.client().images.get(image)
        except ImageNotFound:
            return False
        return True

    def _build(self, of: Environment) -> None:
        said: list[str] = []
        try:
            self.client().images.build(
                fileobj=of.context(), custom_context=True, tag=of.image, rm=True, forcerm=True,
                timeout=BUILD_TIMEOUT,
                buildargs={"BASE": of.base, "VERSION": metadata.version("leadsman")},
                labels={"dev.leadsman.environment": of.digest},
            )  # fmt: skip
        except BuildError as error:
            said = [str(line.get("stream") or line.get("error") or "") for line in error.build_log]
            words = "".join(said).strip()[-BUILD_WORDS:]
            why = f"{error.msg} (base image {of.base})\n{words}"
            raise StartRefusedError(f"the build of {of.image}", why) from error
        except APIError as error:
            why = f"{error.explanation} (base image {of.base})"
            raise StartRefusedError(f"the build of {of.image}", why) from error


@contextmanager
def _only_builder(image: str) -> Iterator[None]:
    """Hold back other processes of this machine that want the same image."""
    place = Path(tempfile.gettempdir()) / f"{image.replace(':', '-')}-{os.geteuid()}.lock"
    lock = os.open(place, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        place.unlink(missing_ok=True)
        os.close(lock)


def _at(url: str) -> Callable[..., Any]:
    return lambda timeout: docker.DockerClient(base_url=url, timeout=timeout)


def _reason(error: BaseException) -> str:
    """The innermost sentence: the outer ones repeat it with addresses of objects."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
