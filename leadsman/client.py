"""Speaks to the service's REST; turns every failure into one sentence."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from leadsman.connection import Connection
from leadsman.errors import RefusedError, UnreachableError

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class Client:
    """One caller of serving and monitor.

    Parameters
    ----------
    connection
        Addresses and key.
    timeout
        Longest wait for an answer, in seconds; a deployment takes its time.
    """

    def __init__(self, connection: Connection, *, timeout: float = 120.0) -> None:
        headers = {"Authorization": f"Bearer {connection.key}"} if connection.key else {}
        self.connection = connection
        # No proxies from the environment: the service is asked where it is.
        self._http = httpx.Client(headers=headers, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        """Open."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the connections."""
        self._http.close()

    def serving(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        """Call serving; return the answer's JSON, or None for an empty answer."""
        return self._call(method, self.connection.serving_url + path, body, options)

    def monitor(self, method: str, path: str, body: object = None, **options: Any) -> Any:
        """Call the monitor; return the answer's JSON, or None for an empty answer."""
        return self._call(method, self.connection.monitor_url + path, body, options)

    def found(self, method: str, path: str) -> Any | None:
        """Ask serving for something that may not be there."""
        try:
            return self.serving(method, path)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _call(self, method: str, url: str, body: object, options: Mapping[str, Any]) -> Any:
        headers = {"Idempotency-Key": str(uuid4())} if method in CHANGES else {}
        if body is not None:
            options = {**options, "json": body}
        try:
            response = self._http.request(method, url, headers=headers, **options)
        except httpx.HTTPError as error:
            raise UnreachableError(url, str(error) or type(error).__name__) from error
        if response.is_success:
            return response.json() if response.content else None
        raise refusal(response)


def refusal(response: httpx.Response) -> RefusedError:
    """Read a problem detail; tell the status where the answer is none."""
    try:
        problem = response.json()
        return RefusedError(response.status_code, problem["code"], problem["detail"])
    except (ValueError, KeyError, TypeError):
        words = response.text.strip()[:200] or response.reason_phrase
        return RefusedError(response.status_code, "", f"{response.request.url} said: {words}")
