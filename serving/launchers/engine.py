"""The container engine."""

from collections.abc import Callable
from typing import Any

import docker
import requests
from docker.errors import APIError, DockerException, NotFound

from serving.launchers.base import LauncherUnavailableError, StartRefusedError
from serving.launchers.calls import Calls

TIMEOUT = 30
"""Seconds in which the engine must answer; building an image has its own."""


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


def _at(url: str) -> Callable[..., Any]:
    return lambda timeout: docker.DockerClient(base_url=url, timeout=timeout)


def _reason(error: BaseException) -> str:
    """The innermost sentence: the outer ones repeat it with addresses of objects."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__
