"""Journals of processes that are no longer started: what they hold goes to Postgres as well."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from serving.journal import Journal, JournalUnusableError
from serving.settings import Settings
from serving.shipping import Shipping

log = logging.getLogger("serving.leftovers")

LOOK_AGAIN = 5.0
"""Seconds until a journal that another process still has open is tried again."""


def leftover_journals(settings: Settings) -> list[Path]:
    """Journals in the data folder that no process of the present number of workers opens."""
    folder = settings.data_dir
    if settings.workers > 1:
        used = {folder / f"worker-{number}" for number in range(1, settings.workers + 1)}
    else:
        used = {folder}
    found = [folder / "journal.db", *sorted(folder.glob("worker-*/journal.db"))]
    return [path for path in found if path.exists() and path.parent not in used]


async def ship_leftovers(
    settings: Settings, shipping: Callable[[Journal, str], Shipping] = Shipping
) -> None:
    """Ship what an earlier number of workers left; the first process of the folder does it."""
    if settings.worker > 1:
        return
    for path in leftover_journals(settings):
        journal = await _open(path, settings.journal_limit_bytes)
        try:
            await _ship(journal, shipping(journal, settings.asyncpg_url))
        finally:
            journal.close()


async def _open(path: Path, limit: int) -> Journal:
    while True:
        try:
            return Journal(path, limit)
        except JournalUnusableError as error:
            log.warning("leftover_journal_not_opened why=%s", error)
        await asyncio.sleep(LOOK_AGAIN)


async def _ship(journal: Journal, shipping: Shipping) -> None:
    rows = journal.backlog.rows
    if not rows:
        return
    running = asyncio.create_task(shipping.run(), name="ship leftovers")
    try:
        while not await shipping.drain(LOOK_AGAIN):
            if running.done():
                await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    log.info("leftover_journal_shipped path=%s rows=%d", journal.file.path, rows)
