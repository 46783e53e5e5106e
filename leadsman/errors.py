"""What a command fails at, as one tree.

::

    CommandError
    ├── AlreadyRunningError     another `up` holds the data folder
    ├── PortTakenError          somebody listens there
    ├── ChildFailedError        a part of the service does not come up
    ├── UnreachableError        no answer from the service
    │   └── LostAnswerError     it may have done what was asked, and did not say so
    └── RefusedError            the service answered with a problem
"""

from collections.abc import Mapping, Sequence
from pathlib import Path


class CommandError(Exception):
    """Root: one sentence for the person at the terminal, and the exit status."""

    exit_status = 1


class AlreadyRunningError(CommandError):
    """Another `leadsman up` holds the data folder."""

    def __init__(self, data_dir: Path, pid: str) -> None:
        super().__init__(f"leadsman up already runs on {data_dir} (process {pid})")


class PortTakenError(CommandError):
    """Somebody listens on the port already."""

    def __init__(self, option: str, port: int) -> None:
        super().__init__(f"port {port} is in use by another program; choose one with {option}")


class ChildFailedError(CommandError):
    """A part of the service does not come up."""

    def __init__(self, name: str, seconds: float, last_words: str) -> None:
        said = f"; its last words: {last_words}" if last_words else ""
        super().__init__(f"{name} was not ready within {seconds:.0f} s{said}")


class UnreachableError(CommandError):
    """The service gave no answer."""

    def __init__(self, url: str, reason: str) -> None:
        self.reason = reason
        super().__init__(f"no answer from {url} ({reason}); is `leadsman up` running?")


class LostAnswerError(UnreachableError):
    """A change was sent, and whether it was made is not known."""

    def __init__(self, url: str, reason: str, again: str) -> None:
        CommandError.__init__(
            self,
            f"{url} did not say whether it made the change ({reason}); to be sure, repeat: {again}",
        )


class RefusedError(CommandError):
    """The service answered with a problem.

    Parameters
    ----------
    status
        HTTP status.
    code
        Stable code of the problem; empty where the answer was none of ours.
    detail
        The problem's own sentence.
    errors
        What is wrong with which field: `path`, `expected`, `received`.
    """

    def __init__(
        self, status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()
    ) -> None:
        super().__init__(f"{detail} ({code or status})")
        self.errors = errors
        self.status = status
        self.code = code
        self.detail = detail
