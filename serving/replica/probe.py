"""`python -m serving.replica.probe ADDRESS`: does a replica say hello? For health checks.

A replica says hello once its model is loaded, and only between two batches: one that hangs in a
batch for longer than the check waits fails it.
"""

import socket
import sys

from serving.replica.protocol import Kind, ProtocolError, receive

PATIENCE = 5.0
"""Seconds to wait for the hello."""


def place(address: str) -> tuple[str, int] | None:
    """Host and port of `tcp://HOST:PORT`; none for the path of a socket."""
    scheme, separator, rest = address.partition("://")
    if not separator or scheme != "tcp":
        return None
    host, _, port = rest.rpartition(":")
    return host.strip("[]"), int(port)


def main(arguments: list[str]) -> int:
    """Connect and wait for a hello; the exit status is 0 where it came."""
    (address,) = arguments
    try:
        with _connected(address) as connection:
            frame = receive(connection)
    except (OSError, ProtocolError) as error:
        print(f"{address}: {error}", file=sys.stderr)
        return 1
    if frame is None or frame.kind != Kind.HELLO:
        print(f"{address}: expected a hello, got none", file=sys.stderr)
        return 1
    return 0


def _connected(address: str) -> socket.socket:
    if (where := place(address)) is not None:
        return socket.create_connection(where, PATIENCE)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(PATIENCE)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
