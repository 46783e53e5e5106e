"""Answer several fronts in turn over one listening socket, as a replica in a container does.

A front is a connection that has said hello. Others, such as those of a health check, hear the
replica's hello and nothing is owed to them. Batches are answered one after the other, in the order
in which they arrive whole: a front that sends half a frame holds up nobody.
"""

import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from serving.replica.protocol import HEADER, Frame, Kind, ProtocolError, parse_head

CHUNK = 1 << 18
"""Bytes read at once."""
SEND_TIMEOUT = 30.0
"""Seconds in which a front must take its answer; one that does not is let go."""


class Fronts:
    """The connections of one replica.

    Parameters
    ----------
    listener
        Bound and listening; those who came while the model was loaded wait in its queue.
    hello
        The first frame to everybody.
    answer
        Answers a frame with rows.
    linger
        Seconds without a front after which the replica ends by itself, so that no container
        outlives a killed front for long; none to stay until it is told to end.
    """

    def __init__(
        self,
        listener: socket.socket,
        hello: Frame,
        answer: Callable[[Frame], Frame],
        *,
        linger: float | None,
    ) -> None:
        self._listener = listener
        self._hello = hello.head() + bytes(hello.payload)
        self._answer = answer
        self._linger = linger
        self._selector = selectors.DefaultSelector()
        self._buffers: dict[socket.socket, bytearray] = {}
        self._fronts: set[socket.socket] = set()
        self._alone_since = time.monotonic()

    def run(self) -> None:
        """Answer until SIGTERM, or until there was no front for too long.

        A batch that is being computed at the signal is answered first.
        """
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        with _wakened_by(signal.SIGTERM) as woken:
            self._selector.register(woken, selectors.EVENT_READ)
            while (patience := self._patience()) is None or patience > 0:
                for key, _ in self._selector.select(patience):
                    if key.fileobj is woken:
                        return
                    if key.fileobj is self._listener:
                        self._accept()
                    elif isinstance(key.fileobj, socket.socket):
                        self._read(key.fileobj)
        print(f"no front came for {self._linger:g} s: the replica ends", file=sys.stderr)

    def _patience(self) -> float | None:
        if self._linger is None or self._fronts:
            return None
        return self._alone_since + self._linger - time.monotonic()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            # Who knocked has gone already.
            return
        if connection.family != socket.AF_UNIX:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(SEND_TIMEOUT)
        self._buffers[connection] = bytearray()
        self._selector.register(connection, selectors.EVENT_READ)
        self._send(connection, self._hello)

    def _read(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(CHUNK)
        except OSError:
            data = b""
        if not data:
            self._let_go(connection)
            return
        self._buffers[connection] += data
        try:
            while (frame := _take(self._buffers[connection])) is not None:
                if frame.kind == Kind.HELLO:
                    self._fronts.add(connection)
                    continue
                self._fronts.add(connection)
                answer = self._answer(frame)
                if not self._send(connection, answer.head() + bytes(answer.payload)):
                    return
        except ProtocolError as error:
            print(f"a front was let go: {error}", flush=True)
            self._let_go(connection)

    def _send(self, connection: socket.socket, data: bytes) -> bool:
        try:
            connection.sendall(data)
        except OSError:
            self._let_go(connection)
            return False
        return True

    def _let_go(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        del self._buffers[connection]
        if connection in self._fronts:
            self._fronts.remove(connection)
            self._alone_since = time.monotonic()
        connection.close()


def _take(buffer: bytearray) -> Frame | None:
    """Cut the first whole frame off a buffer."""
    if len(buffer) < HEADER.size:
        return None
    head = parse_head(buffer)
    end = HEADER.size + head.length
    if len(buffer) < end:
        return None
    payload = bytes(memoryview(buffer)[HEADER.size : end])
    del buffer[:end]
    return head.frame(payload)


@contextmanager
def _wakened_by(number: signal.Signals) -> Iterator[socket.socket]:
    """A socket that becomes readable with a signal, which has no other effect meanwhile."""
    woken, waker = socket.socketpair()
    waker.setblocking(False)
    before = signal.signal(number, lambda *_: None)
    descriptor = signal.set_wakeup_fd(waker.fileno())
    try:
        yield woken
    finally:
        with suppress(ValueError):
            signal.set_wakeup_fd(descriptor)
        signal.signal(number, before)
        woken.close()
        waker.close()
