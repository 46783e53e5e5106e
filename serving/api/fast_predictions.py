"""Predictions answered before the web framework sees them.

The framework's machinery costs about a tenth of a millisecond a request, the rest of the path less.
Only what is plainly right is answered here. Anything odd goes on, whole, to the framework's route,
which answers the same and says precisely what is wrong.
"""

import logging

from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from serving.api.context import Services
from serving.api.prediction_bodies import answer, read_quickly
from serving.api.problems import problem_response
from serving.errors import InternalError, ServingError

PREFIX = "/v1/applications/"
SUFFIX = "/predictions"

log = logging.getLogger("serving.api")


class FastPredictions:
    """The outermost ASGI application."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a prediction, or hand the request on."""
        if scope["type"] == "http" and scope["method"] == "POST":
            path: str = scope["path"]
            if path.startswith(PREFIX) and path.endswith(SUFFIX):
                name = path[len(PREFIX) : -len(SUFFIX)]
                services: Services | None = getattr(self.app.state, "services", None)
                if services is not None and name in services.inference.routes:
                    await self._predict(services, name, scope, receive, send)
                    return
        await self.app(scope, receive, send)

    async def _predict(
        self, services: Services, name: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        authorization, length = None, b"0"
        for header, value in scope["headers"]:
            if header == b"authorization":
                authorization = value
            elif header == b"content-length":
                length = value
        limit = services.settings.request_limit_bytes
        messages: list[Message] = []
        size = int(length)
        if size <= limit:
            size = await _read(receive, messages, limit)
        try:
            services.keys.check(authorization, "predict")
            # The route is looked up after the last wait: from here to the queue is one turn.
            route = services.inference.routes.get(name) if size <= limit else None
            asked = None
            if route is not None:
                asked = read_quickly(route.codec, _body(messages))
            if route is None or asked is None:
                await self.app(scope, _again(messages, receive), send)
                return
            text = await answer(services.inference, route, asked)
        except ServingError as error:
            await problem_response(error)(scope, receive, send)
            return
        except Exception:
            log.exception("request_failed method=POST path=%s", scope["path"])
            await problem_response(InternalError())(scope, receive, send)
            return
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(text)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": text})


async def _read(receive: Receive, messages: list[Message], limit: int) -> int:
    """Read a body up to a limit; what came is kept, so that it can be handed on."""
    size = 0
    while size <= limit:
        message = await receive()
        messages.append(message)
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            break
    return size


def _body(messages: list[Message]) -> bytes:
    if len(messages) == 1:
        body: bytes = messages[0].get("body", b"")
        return body
    return b"".join(message.get("body", b"") for message in messages)


def _again(messages: list[Message], receive: Receive) -> Receive:
    """Give what was read once more, then whatever comes."""
    read = iter(messages)

    async def replay() -> Message:
        message = next(read, None)
        return await receive() if message is None else message

    return replay
