"""The console over the record of a story: a monitor that reads nothing, and a real browser."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser

import dashboards
from monitor.settings import Mode, Settings
from tests.support.browser import chromium
from tests.support.monitor_api import monitor_api
from tests.support.postgres import execute
from tests.support.stories import Model, Story

CONSOLE = Path(dashboards.__file__).parent / "console"


def settings_of(url: str) -> Settings:
    """Of a monitor with a console, beside which no serving runs."""
    return Settings(
        database_url=url,
        console_dir=CONSOLE,
        remedy_mode=Mode.PROPOSE,
        webhook_allow_private=True,
        serving_url="http://127.0.0.1:9",
    )


@contextmanager
def console_of(url: str) -> Iterator[tuple[str, Browser]]:
    """A monitor of a record, which reads nothing, and a browser; keys lsm_admin and lsm_reader.

    The browser comes last and goes first: while it is there this thread has a running event loop.
    """
    with monitor_api(settings_of(url)) as client, chromium() as browser:
        yield str(client.base_url).rstrip("/"), browser


def aside(url: str, statement: str) -> None:
    """Run a statement beside the event loop of the browser."""
    thread = threading.Thread(target=execute, args=(url, statement))
    thread.start()
    thread.join()


async def bad_release(url: str, *, segments: str | None = None) -> None:
    """Two hours of a good version, two of a bad one; by a context key the loss is watched apart."""
    story = Story(url, mode=Mode.PROPOSE)
    story.models = {1: Model(0.05), 2: Model(0.3)}
    await story.begin(reference=2000)
    if segments is not None:
        await story.watch_segments(segments, learn=100)
    await story.live(2)
    await story.release(2, 1)
    await story.live(2)
