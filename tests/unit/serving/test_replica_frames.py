"""How a replica reads what its front sends."""

import socket
from collections.abc import Iterator
from threading import Thread

import numpy as np
import pytest

from serving.replica.protocol import READ_AT_ONCE, Encoding, Frame, Frames, Kind, ProtocolError

Pair = tuple[socket.socket, Frames]


@pytest.fixture
def pair() -> Iterator[Pair]:
    front, replica = socket.socketpair()
    with front, replica:
        front.settimeout(30)
        replica.settimeout(30)
        yield front, Frames(replica)


def predict(values: "np.ndarray[tuple[int], np.dtype[np.float64]]", sequence: int) -> bytes:
    block = values.tobytes()
    frame = Frame(Kind.PREDICT, block, Encoding.FLOATS, 1, len(values), sequence=sequence)
    return frame.head() + block


def rows(frame: Frame | None) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    assert frame is not None
    return np.frombuffer(frame.payload, dtype="<f8")


def test_frames_that_came_together_are_read_one_after_the_other(pair: Pair) -> None:
    front, frames = pair
    hello = Frame(Kind.HELLO, b"").head()
    front.sendall(hello + predict(np.arange(3.0), 1) + predict(np.arange(4.0), 2))
    front.shutdown(socket.SHUT_WR)
    greeting = frames.next()
    assert greeting is not None
    assert (greeting.kind, len(greeting.payload)) == (Kind.HELLO, 0)
    assert rows(frames.next()).tolist() == [0, 1, 2]
    assert rows(frames.next()).tolist() == [0, 1, 2, 3]
    assert frames.next() is None


@pytest.mark.parametrize("count", [20, READ_AT_ONCE // 8, READ_AT_ONCE])
def test_a_frame_may_come_in_pieces_and_be_longer_than_a_read(pair: Pair, count: int) -> None:
    front, frames = pair
    values = np.random.default_rng(20261130).normal(size=count)
    sent = predict(values, 1) + predict(values + 1, 2)

    def send() -> None:
        for start in range(0, len(sent), 10_007 if count > 20 else 11):
            front.sendall(sent[start : start + (10_007 if count > 20 else 11)])

    sender = Thread(target=send)
    sender.start()
    np.testing.assert_array_equal(rows(frames.next()), values)
    np.testing.assert_array_equal(rows(frames.next()), values + 1)
    sender.join()


def test_a_model_may_write_to_the_rows_that_it_gets(pair: Pair) -> None:
    front, frames = pair
    front.sendall(predict(np.arange(3.0), 1) + predict(np.arange(3.0), 2))
    first = rows(frames.next())
    assert first.flags.aligned
    first *= 2
    assert rows(frames.next()).tolist() == [0, 1, 2]


def test_half_a_frame_is_the_end(pair: Pair) -> None:
    front, frames = pair
    front.sendall(predict(np.arange(3.0), 1)[:-1])
    front.shutdown(socket.SHUT_WR)
    assert frames.next() is None


def test_what_is_no_frame_is_said(pair: Pair) -> None:
    front, frames = pair
    front.sendall(b"GET / HTTP/1.1\r\nHost: a replica\r\nAccept: everything\r\n\r\n")
    with pytest.raises(ProtocolError):
        frames.next()
