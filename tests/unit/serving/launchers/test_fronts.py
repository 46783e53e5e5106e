"""A replica that several fronts share."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from serving.replica import probe
from serving.replica.protocol import HEADER, Encoding, Frame, Kind, receive, send

ROOT = Path(__file__).parents[4]


@contextmanager
def replica(folder: Path, *options: str, slow: float = 0.0) -> Iterator[tuple[str, int]]:
    """A replica that listens in a folder: its address and process."""
    code = f"import time\ndef answer(rows):\n    time.sleep({slow})\n    return rows.sum(axis=1)\n"
    (folder / "m.py").write_text(code)
    address = str(folder / "r.sock")
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.replica", "--artefact", str(folder / "m.py"),
         "--framework", "python", "--entry", "m:answer", "--listen", address, *options],
        cwd=ROOT,
    )  # fmt: skip
    try:
        until = time.monotonic() + 30
        while not Path(address).exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        yield address, process.pid
    finally:
        process.kill()
        process.wait()


def connected(address: str) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(30)
    until = time.monotonic() + 30
    while True:
        try:
            made.connect(address)
            break
        except ConnectionRefusedError:
            # Bound and not listening yet.
            assert time.monotonic() < until
            time.sleep(0.02)
    hello = receive(made)
    assert hello is not None
    assert hello.kind == Kind.HELLO
    return made


def question(*values: float, sequence: int = 1) -> Frame:
    block = struct.pack(f"<{len(values)}d", *values)
    return Frame(Kind.PREDICT, block, Encoding.FLOATS, 1, len(values), sequence=sequence)


def answered(connection: socket.socket) -> float:
    frame = receive(connection)
    assert frame is not None
    (value,) = struct.unpack("<d", frame.payload)
    return float(value)


def test_each_front_gets_the_answers_to_its_own_rows(tmp_path: Path) -> None:
    with replica(tmp_path) as (address, _):
        fronts = [connected(address) for _ in range(5)]
        for turn in range(3):
            for number, front in enumerate(fronts):
                send(front, question(number, turn))
            assert [answered(front) for front in fronts] == [n + turn for n in range(5)]
        for front in fronts:
            front.close()


def test_a_front_that_sends_half_a_frame_holds_up_nobody(tmp_path: Path) -> None:
    with replica(tmp_path) as (address, _), connected(address) as one, connected(address) as two:
        frame = question(1.0, 2.0)
        one.sendall(frame.head()[: HEADER.size - 3])
        send(two, question(4.0))
        assert answered(two) == 4.0
        one.sendall(frame.head()[HEADER.size - 3 :] + bytes(frame.payload))
        assert answered(one) == 3.0


def test_a_front_that_speaks_something_else_is_let_go(tmp_path: Path) -> None:
    with replica(tmp_path) as (address, _), connected(address) as one, connected(address) as two:
        one.sendall(b"GET / HTTP/1.1\r\nHost: a replica\r\nAccept: everything\r\n\r\n")
        assert receive(one) is None
        send(two, question(4.0))
        assert answered(two) == 4.0


def test_it_ends_by_itself_where_no_front_has_come_back_and_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with replica(tmp_path, "--linger", "1") as (address, pid):
        with connected(address) as front:
            send(front, Frame(Kind.HELLO, b""))
            # Longer than it would wait alone; a health check meanwhile changes nothing.
            time.sleep(1.5)
            assert probe.main([address]) == 0
            send(front, question(4.0))
            assert answered(front) == 4.0
        status = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        assert status is not None
        assert status.si_status == 0
        assert capfd.readouterr().err == "no front came for 1 s: the replica ends\n"


def test_the_batch_under_way_is_answered_before_a_stop(tmp_path: Path) -> None:
    with replica(tmp_path, slow=1.0) as (address, pid), connected(address) as front:
        send(front, question(4.0))
        time.sleep(0.3)
        os.kill(pid, signal.SIGTERM)
        assert answered(front) == 4.0
        assert receive(front) is None


def test_a_health_check_fails_where_nobody_listens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe.main([str(tmp_path / "none.sock")]) == 1
    assert "none.sock" in capsys.readouterr().err
    assert probe.main(["tcp://127.0.0.1:1"]) == 1


def test_addresses_are_paths_or_hosts_with_ports() -> None:
    assert probe.place("/run/a.sock") is None
    assert probe.place("tcp://[::1]:7700") == ("::1", 7700)
    assert probe.place("tcp://10.0.0.1:7700") == ("10.0.0.1", 7700)
