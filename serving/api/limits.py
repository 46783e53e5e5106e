"""What is refused before any route sees it: bodies too long, and names that nothing can have."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.api.problems import problem_response
from serving.errors import BodyTooLargeError, PathNotFoundError, ServingError
from serving.keys import KeyRing

LARGE = "/v1/models/"
"""Below this path artefacts and reference rows are taken."""


class BodyLimit:
    """Stops reading a body that is longer than its route takes."""

    def __init__(self, app: ASGIApp, *, limit: int, large_limit: int) -> None:
        self._app = app
        self._limit = limit
        self._large_limit = large_limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Count what is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if "\0" in scope["path"]:
            # Postgres, which keeps all names, cannot even be asked for one with it.
            await problem_response(PathNotFoundError(scope["path"]))(scope, receive, send)
            return
        limit, headers = self._limit, dict(scope["headers"])
        length = headers.get(b"content-length", b"0")
        if scope["path"].startswith(LARGE):
            limit = self._large_limit
            if b"transfer-encoding" in headers or not length.isdigit() or int(length) > self._limit:
                # The framework reads a form before it asks who sent it.
                keys: KeyRing = scope["app"].state.services.keys
                try:
                    keys.check(headers.get(b"authorization"), "admin")
                except ServingError as error:
                    await problem_response(error)(scope, receive, send)
                    return
        if length.isdigit() and int(length) > limit:
            await problem_response(BodyTooLargeError(limit))(scope, receive, send)
            return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > limit:
                # The framework turns every other exception in a body into a plain 400.
                raise HTTPException(413, str(limit))
            return message

        await self._app(scope, counted, send)
