"""`python -m leadsman.healthy URL`: does it answer with 2xx? For the health checks of containers,
in images that have no other client of HTTP."""

import sys
import urllib.error
import urllib.request

PATIENCE = 5.0
"""Seconds to wait for the answer."""


def main(arguments: list[str]) -> int:
    """Ask; the exit status is 0 where the answer was good."""
    (url,) = arguments
    if not url.startswith("http://"):
        print(f"{url}: expected http://", file=sys.stderr)
        return 2
    # Straight there: the proxy of the machine has no way to a container's own loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=PATIENCE):
            return 0
    except (OSError, urllib.error.HTTPError) as error:
        print(f"{url}: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
