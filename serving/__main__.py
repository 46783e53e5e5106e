"""`python -m serving [--workers N]`: serving, set up by `SERVING_*`."""

import argparse
import ctypes
import logging
import os
import signal
import sys
from typing import Any

from pydantic import ValidationError

from serving.app import LOG_FORMAT
from serving.launchers.kubernetes_settings import KubernetesSettings
from serving.launching import check_launcher
from serving.server import serve
from serving.settings import Settings
from serving.workers import Workers

_PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>: a signal for this process when its parent ends."""


def main() -> int:
    """Serve; a wrong setting stops the start with one line for each."""
    parser = argparse.ArgumentParser(prog="serving", description=__doc__)
    parser.add_argument("--workers", type=int, help="processes that share the port")
    parser.add_argument("--parent", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.parent:
        _end_with(options.parent)
    given: dict[str, Any] = {} if options.workers is None else {"workers": options.workers}
    try:
        settings = Settings(**given)
        check_launcher(settings)
    except ValidationError as error:
        prefix = "SERVING_KUBERNETES_" if error.title == KubernetesSettings.__name__ else "SERVING_"
        for one in error.errors():
            name = "_".join(map(str, one["loc"])).upper()
            print(f"{prefix}{name}: {one['msg']}", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    if settings.workers == 1 or settings.worker:
        serve(settings)
        return 0
    try:
        return Workers(settings).run()
    except OSError as error:
        print(f"{settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1


def _end_with(parent: int) -> None:
    """Ask the kernel to stop this process with its parent, also one that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    # The parent may have gone before the request; the kernel says nothing about the past.
    if os.getppid() != parent:
        raise SystemExit("the process that started this worker has gone")


if __name__ == "__main__":
    sys.exit(main())
