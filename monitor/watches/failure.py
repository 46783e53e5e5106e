"""A watch whose evaluation raised: it stops, and says so, while the others go on.

All that a turn makes of a watch is made before anything is written, so that a watch that fails
half way leaves nothing behind: its state stays as the last turn left it.
"""

import logging
from dataclasses import dataclass
from datetime import datetime

from monitor import metrics
from monitor.records import Registry, Watch

MOST_SAID = 500
"""Characters of an exception's text that are kept."""

log = logging.getLogger("monitor.watches.failure")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a watch failed with."""

    watch: Watch
    at: datetime
    """The first row that it did not watch."""
    said: str


def said_of(error: BaseException) -> str:
    """Type and text of an exception, as Postgres can keep it.

    Its text is made by code of whoever wrote the exception: it may be anything, or raise itself.
    """
    try:
        said = f"{type(error).__name__}: {error}"
    except Exception:
        said = type(error).__name__
    return storable(said)


def storable(said: str) -> str:
    """A text of a sensible length without what Postgres refuses: NUL, and halves of characters."""
    brief = said if len(said) <= MOST_SAID else f"{said[: MOST_SAID - 3]}..."
    return brief.encode("utf-8", "replace").decode().replace("\0", "?")


def tell(failure: Failure, registry: Registry, error: Exception) -> None:
    """Say it where operators look: the log, with the place in the code, and the metrics."""
    watch = failure.watch
    application = registry.applications[watch.application_id].name
    metrics.WATCHES_FAILED.labels(application, watch.name).inc()
    log.error(
        "watch_failed application=%s watch=%s error=%s",
        application,
        watch.name,
        failure.said,
        exc_info=error,
    )
