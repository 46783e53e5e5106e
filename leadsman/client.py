"""Speaks to the service's REST; turns every failure into one sentence."""

import json
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from leadsman.connection import Connection
from leadsman.errors import LostAnswerError, RefusedError, UnreachableError

CHANGES = frozenset({"POST", "PUT", "PATCH", "DELETE"})
UNDECIDED = frozenset({502, 503, 504})
"""Answers after which a change may have been made."""
PAUSES = (0.5, 1.0, 2.0)


class Client:
    """One caller of serving and monitor.

    Parameters
    ----------
    connection
        Addresses and key.
    timeout
        Longest wait for an answer, in seconds; a deployment takes its time.
    pauses
        Seconds before each repetition of a change whose answer was lost.
    """

    def __init__(
        self, connection: Connection, *, timeout: float = 120.0, pauses: Sequence[float] = PAUSES
    ) -> None:
        self._pauses = pauses
        # Half of what the command line would take to say its help.
        import httpx

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

    def change(self, path: str, body: object, *, key: str, again: str) -> Any:
        """Post a change to serving that is made once, however often it has to be sent.

        Parameters
        ----------
        key
            Stands for this change: the same for each repetition, by this command or a later one.
        again
            The command line that repeats it, for the person who is told that no answer came.

        Raises
        ------
        LostAnswerError
            If no answer says whether the change was made.
        UnreachableError
            If nobody listens.
        """
        from httpx import ConnectError

        headers = {"Idempotency-Key": key}
        url = self.connection.serving_url + path
        reason = ""
        for pause in (*self._pauses, None):
            try:
                return self._call("POST", url, body, {"headers": headers})
            except UnreachableError as error:
                if isinstance(error.__cause__, ConnectError) and not reason:
                    raise
                reason = error.reason
            except RefusedError as error:
                if error.status not in UNDECIDED:
                    raise
                reason = str(error)
            if pause is not None:
                time.sleep(pause)
        raise LostAnswerError(url, reason, again)

    def found(self, method: str, path: str) -> Any | None:
        """Ask serving for something that may not be there."""
        try:
            return self.serving(method, path)
        except RefusedError as error:
            if error.status == 404:
                return None
            raise

    def _call(self, method: str, url: str, body: object, options: Mapping[str, Any]) -> Any:
        from httpx import HTTPError

        if method in CHANGES:
            options = {"headers": {"Idempotency-Key": str(uuid4())}, **options}
        if body is not None:
            options = {**options, "json": body}
        try:
            response = self._http.request(method, url, **options)
        except HTTPError as error:
            raise UnreachableError(url, str(error) or type(error).__name__) from error
        if response.is_success:
            return response.json() if response.content else None
        raise refusal(response.status_code, url, response.content)


def refusal(status: int, url: str, content: bytes) -> RefusedError:
    """Read a problem detail; tell what came where the answer is none."""
    try:
        problem = json.loads(content)
        return RefusedError(status, problem["code"], problem["detail"], problem.get("errors") or ())
    except (ValueError, KeyError, TypeError):
        words = content.decode(errors="replace").strip()[:200]
        return RefusedError(status, "", f"{url} said: {words or status}")
