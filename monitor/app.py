"""Wiring: the API with the loop beside it."""

import asyncio
import logging
import os
import platform
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import uvicorn
from fastapi import FastAPI

from monitor import metrics
from monitor.api import (
    alerts,
    automation,
    caller,
    console,
    events,
    fleet,
    health,
    incidents,
    openapi,
    plots,
    problems,
    remedies,
    series,
    serving,
    watch_sets,
    watches,
    webhooks,
)
from monitor.api.context import State
from monitor.loop import Pulse, run
from monitor.settings import Settings
from monitor.store.database import connect
from monitor.views.figures import Figures
from monitor.wall_clock import Clock, utc_now

log = logging.getLogger("monitor.app")

DESCRIPTION = """Reads the record of served models, tests for degradation with a bounded number of
false alarms a year, alerts, and puts the last good version back."""


def create_app(settings: Settings, *, with_loop: bool = True, clock: Clock = utc_now) -> FastAPI:
    """Make the application.

    Parameters
    ----------
    with_loop
        Whether to read the record; without it the API only shows what was concluded.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = connect(settings.database_url)
        pulse = Pulse(clock=clock)
        figures = Figures()
        app.state.monitor = State(engine, settings, pulse, figures)
        tasks = []
        if with_loop:
            tasks.append(asyncio.create_task(run(engine, settings, pulse)))
            tasks.append(asyncio.create_task(figures.keep(engine, settings)))
        for task in tasks:
            task.add_done_callback(_stop_with_it)
        try:
            yield
        finally:
            for task in tasks:
                task.remove_done_callback(_stop_with_it)
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await engine.dispose()

    app = FastAPI(title="Leadsman monitor", version="1", description=DESCRIPTION, lifespan=lifespan)
    problems.install(app)
    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]  # FastAPI's own way
    for part in (
        health,
        caller,
        fleet,
        series,
        plots,
        watches,
        watch_sets,
        alerts,
        remedies,
        incidents,
        automation,
        webhooks,
        events,
        serving,
        console,
    ):
        app.include_router(part.router)
    return app


def _stop_with_it(task: asyncio.Task[None]) -> None:
    # A monitor whose loop died must not look alive: stop, and be started again by whoever
    # supervises.
    if not task.cancelled() and task.exception() is not None:
        log.critical("loop_died", exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Run until told to stop."""
    settings = Settings()
    metrics.INFO.info({"version": version("leadsman"), "python": platform.python_version()})
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(name)s %(message)s")
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=5,
    )
