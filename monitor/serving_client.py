"""Serving's admin API, as far as remedies need it."""

from typing import Any

import httpx

from monitor.errors import RevisionMovedError, ServingRefusedError, ServingUnavailableError
from monitor.records import Json, Remedy

TIMEOUT_S = 90.0
"""A change of route starts and probes replicas before it answers."""
SHOW_TIMEOUT_S = 10.0
"""What is only shown comes at once."""
TRY_AGAIN = frozenset({408, 425, 429})
"""Client errors that may pass."""


def call_of(remedy: Remedy) -> tuple[str, str, Json]:
    """Method, path and body of the change that a remedy asks for."""
    request = remedy.request
    body: Json = dict(request.get("body", {}))
    body["evidence"] = body.get("evidence", {}) | {"remedy": str(remedy.idempotency_key)}
    body["expected_revision"] = request["expected_revision"]
    for name in ("policy", "to_revision"):
        if name in request:
            body[name] = request[name]
    return request["method"], request["path"], body


class ServingClient:
    """Sends changes of route."""

    def __init__(self, url: str, key: str | None) -> None:
        self._client = httpx.AsyncClient(
            base_url=url,
            timeout=TIMEOUT_S,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            trust_env=False,
        )

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def carry_out(self, remedy: Remedy) -> int:
        """Make the change; safe to repeat.

        Returns
        -------
        int
            The new revision.

        Raises
        ------
        RevisionMovedError
            If the route changed since the decision.
        ServingRefusedError
            If serving will not do it.
        ServingUnavailableError
            If it gave no answer, or may do it later.
        """
        method, path, body = call_of(remedy)
        try:
            response = await self._client.request(
                method, path, json=body, headers={"Idempotency-Key": str(remedy.idempotency_key)}
            )
        except httpx.HTTPError as error:
            raise ServingUnavailableError(f"{type(error).__name__}: {error}") from error
        if response.is_success:
            revision = _json(response).get("revision")
            if not isinstance(revision, int):
                raise ServingUnavailableError(
                    f"expected a revision, received {response.text[:200]}"
                )
            return revision
        problem = _json(response)
        detail = problem.get("detail", response.text[:200])
        said = f"{response.status_code} {problem.get('code')}: {detail}"
        if problem.get("code") == "revision_moved":
            raise RevisionMovedError(said)
        if response.is_server_error or response.status_code in TRY_AGAIN:
            raise ServingUnavailableError(said)
        raise ServingRefusedError(said)

    async def route_of(self, application: str) -> Json:
        """The route in force, as serving shows it, with the `revision` that each of its `processes`
        answers by.

        Raises
        ------
        ServingError
            If it shows none.
        """
        try:
            response = await self._client.get(
                f"/v1/applications/{application}/route", timeout=SHOW_TIMEOUT_S
            )
        except httpx.HTTPError as error:
            raise ServingUnavailableError(f"{type(error).__name__}: {error}") from error
        route = _json(response)
        if not response.is_success or not isinstance(route.get("revision"), int):
            raise ServingUnavailableError(f"{response.status_code}: {response.text[:200]}")
        return route


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        data = response.json()
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
