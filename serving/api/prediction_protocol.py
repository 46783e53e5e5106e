"""Predictions answered in the HTTP protocol, before a task or the web framework sees them.

uvicorn gives each request a task, a scope and two messages to send, and the framework adds a tenth
of a millisecond to that: several times what a prediction costs otherwise. Only what is plainly
right is answered here. Anything odd goes on, whole, to uvicorn and the framework's route, which
answers the same and says precisely what is wrong.
"""

import asyncio
import logging
from functools import partial
from typing import Any

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.server import ServerState

from serving.api.connection import BoundedConnection
from serving.api.context import Services
from serving.api.prediction_bodies import Asked, answer, read_quickly
from serving.errors import InternalError, ServingError
from serving.inference import ActiveRoute, Prediction

PREFIX = b"/v1/applications/"
SUFFIX = b"/predictions"

log = logging.getLogger("serving.api")


class _Event:
    """Stands for the event that wakes a task: there is none."""

    def set(self) -> None:
        """Wake nobody."""


_NOBODY = _Event()


class DirectCycle:
    """A prediction on its way; what the protocol knows of a `RequestResponseCycle`."""

    __slots__ = (
        "authorization", "body", "disconnected", "keep_alive", "message_event", "name",
        "response_complete",
    )  # fmt: skip

    def __init__(self, name: str, authorization: bytes | None, keep_alive: bool) -> None:
        self.name = name
        """The application."""
        self.authorization = authorization
        self.keep_alive = keep_alive
        """Cleared by a shutdown: then the answer is the connection's last."""
        self.body = b""
        self.disconnected = False
        self.response_complete = False
        self.message_event = _NOBODY


class PredictionProtocol(BoundedConnection):
    """One connection."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """As uvicorn makes it; the application's state holds `services` once it has started."""
        super().__init__(config, server_state, app_state, _loop)
        self._state: Any = getattr(config.app, "state", None)
        self._direct: DirectCycle | None = None
        """The request whose body is being read, if it is to be answered here."""
        self._running: RequestResponseCycle | None = None
        """The request that has a task."""

    def on_headers_complete(self) -> None:
        """Decide who answers."""
        self._unread = 0
        self._direct = direct = self._eligible()
        if direct is None:
            super().on_headers_complete()
        else:
            self.cycle = direct  # type: ignore[assignment]  # what uvicorn uses of it is there

    def on_body(self, body: bytes) -> None:
        """Keep a piece of the body."""
        if self._direct is None:
            super().on_body(body)
        else:
            self._unread = 0
            self._direct.body += body

    def on_message_complete(self) -> None:
        """Answer, or hand the request on."""
        direct, self._direct = self._direct, None
        if direct is None:
            super().on_message_complete()
            return
        services: Services = self._state.services
        try:
            services.keys.check(direct.authorization, "predict")
            # From here to the queue is one turn: a switched route drains a queue that has the row.
            route = services.inference.routes.get(direct.name)
            most = services.settings.rows_limit
            asked = None if route is None else read_quickly(route.codec, direct.body, most)
            if route is None or asked is None:
                self._hand_on(direct)
            elif asked.many:
                self._answer_many(direct, services, route, asked)
            else:
                [block] = asked.rows
                assert isinstance(block, bytes), "a single row that is wrong is not read quickly"
                services.inference.ask(route, block, asked.context, partial(self._tell, direct))
        except ServingError as error:
            self._tell(direct, error)
        except Exception:
            log.exception("request_failed method=POST path=%s", self.url.decode("latin-1"))
            self._tell(direct, InternalError())

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        # Uvicorn tells the newest request only; one that is under way before it would go on to
        # read from and write to a transport that is closed.
        running = self._running
        if running is not None and not running.response_complete:
            running.disconnected = True
            running.message_event.set()
        super().connection_lost(exc)
        if self.flow is not None:
            self.flow.read_paused = False

    def awaited(self) -> object:
        """Nothing once the body of a prediction is there; a short one is owed as a whole."""
        if isinstance(self.cycle, DirectCycle) and not self.cycle.response_complete:
            return self._direct
        return super().awaited()

    def _eligible(self) -> DirectCycle | None:
        """What this request is, if it is a prediction like most."""
        url, parser = self.url, self.parser
        if not url.startswith(PREFIX) or not url.endswith(SUFFIX) or parser.get_method() != b"POST":
            return None
        name = url[len(PREFIX) : -len(SUFFIX)].decode("latin-1")
        services: Services | None = getattr(self._state, "services", None)
        if services is None or name not in services.inference.routes:
            return None
        before = self.cycle
        if before is not None and not before.response_complete:
            # Asked before the last answer came: uvicorn keeps the order.
            return None
        if self.flow.write_paused or self.limit_concurrency is not None or self.root_path:
            return None
        authorization, length = None, -1
        for header, value in self.headers:
            if header == b"authorization":
                authorization = value
            elif header == b"content-length":
                # The parser takes digits only.
                length = int(value)
            elif header in (b"transfer-encoding", b"upgrade", b"expect"):
                return None
        if not 0 <= length <= min(HIGH_WATER_LIMIT, services.settings.request_limit_bytes):
            return None
        keep_alive = parser.get_http_version() != "1.0" and parser.should_keep_alive()
        return DirectCycle(name, authorization, keep_alive)

    def _hand_on(self, direct: DirectCycle) -> None:
        """Let uvicorn begin from the headers."""
        self.cycle = None  # type: ignore[assignment]  # as before the first request
        super().on_headers_complete()
        self.cycle.keep_alive = direct.keep_alive
        super().on_body(direct.body)
        super().on_message_complete()

    def _answer_many(
        self, direct: DirectCycle, services: Services, route: ActiveRoute, asked: Asked
    ) -> None:
        """Answer several rows in a task, which a shutdown waits for."""

        waiting = answer(services.inference, route, asked)

        async def work() -> None:
            try:
                told: bytes | ServingError = await waiting
            except ServingError as error:
                told = error
            except Exception:
                log.exception("request_failed application=%s", direct.name)
                told = InternalError()
            self._tell(direct, told)

        task = self.loop.create_task(work())
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _tell(self, direct: DirectCycle, told: Prediction | ServingError | bytes) -> None:
        """Write an answer in one piece; the connection is free for the next request."""
        direct.response_complete = True
        if direct.disconnected or self.transport.is_closing():
            return
        if isinstance(told, ServingError):
            content = self._problem(told, direct.keep_alive)
        else:
            text = told.to_json() if isinstance(told, Prediction) else told
            content = b"%s%s\r\n\r\n%s" % (
                _start(self.server_state, direct.keep_alive), b"%d" % len(text), text,
            )  # fmt: skip
        self.transport.write(content)
        if not direct.keep_alive:
            self.transport.close()
        self.on_response_complete()


class _Starts:
    """The beginning of every answer of a second, up to the length of its body."""

    made_of: object = None
    lasting = b""
    last = b""


def _start(state: ServerState, keep_alive: bool) -> bytes:
    headers = state.default_headers
    if headers is not _Starts.made_of:
        # The server replaces the list each second, with a new date.
        lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        ends = b"content-type: application/json\r\ncontent-length: "
        _Starts.lasting = b"%s%s%s" % (STATUS_LINE[200], lines, ends)
        _Starts.last = b"%s%sconnection: close\r\n%s" % (STATUS_LINE[200], lines, ends)
        _Starts.made_of = headers
    return _Starts.lasting if keep_alive else _Starts.last
