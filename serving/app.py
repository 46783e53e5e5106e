"""One serving process: everything made, connected, and ended in order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import metadata

import uvicorn
from fastapi import FastAPI, Request
from prometheus_client.metrics_core import Metric
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from serving import metrics
from serving.api import (
    applications,
    feedback,
    health,
    keys,
    models,
    open_inference,
    openapi,
    predictions,
    problems,
    routes,
    trace,
)
from serving.api.context import Replayed, Services
from serving.api.fast_predictions import FastPredictions
from serving.api.limits import BodyLimit
from serving.artefacts import ArtefactStore
from serving.feedback import FeedbackDesk
from serving.inference import Inference
from serving.journal import Journal
from serving.keys import KeyRing, ensure_admin
from serving.launchers.process import ProcessLauncher
from serving.replicas import Replicas
from serving.rollout import Rollout
from serving.settings import Settings
from serving.shipping import Shipping
from serving.store.models import Versions

log = logging.getLogger("serving.app")

ROUTERS = (
    applications.router,
    routes.router,
    models.router,
    predictions.router,
    trace.router,
    feedback.router,
    keys.router,
    open_inference.router,
    health.router,
)
SETTLE_WITHIN = timedelta(seconds=5)
"""At the end: time for shadows that were asked, then for the journal to reach Postgres."""
RETRY_PAUSE = 1.0
"""Seconds before a task of the process is begun again after it failed."""


def _engine(settings: Settings) -> AsyncEngine:
    return create_async_engine(
        settings.sqlalchemy_url,
        pool_size=settings.database_connections,
        max_overflow=0,
        pool_timeout=5,
        # A server that was restarted leaves connections that look open.
        pool_pre_ping=True,
        connect_args={"timeout": 5, "command_timeout": 30},
    )


def _services(settings: Settings) -> Services:
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    journal = Journal(settings.data_dir / "journal.db", settings.journal_limit_bytes)
    engine = _engine(settings)
    inference = Inference(journal)
    inference.restoring = True
    versions = Versions(settings.artefacts)
    replicas = Replicas(
        ProcessLauncher(settings.replicas),
        python=settings.replica_python,
        start_within=settings.deploy_timeout,
        drain_within=settings.drain_timeout,
    )
    return Services(
        settings=settings,
        engine=engine,
        keys=KeyRing(),
        versions=versions,
        artefacts=ArtefactStore(settings.artefacts, settings.artefact_limit_bytes),
        inference=inference,
        journal=journal,
        shipping=Shipping(journal, settings.asyncpg_url),
        feedback=FeedbackDesk(journal, engine),
        replicas=replicas,
        rollout=Rollout(engine, versions, replicas, inference),
    )


async def _keep_doing(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do what must go on as long as the process does; begin again where it fails."""
    while True:
        try:
            await work()
            return
        except Exception:
            log.exception("task_failed task=%s", name)
        await asyncio.sleep(RETRY_PAUSE)


async def _bring_up(services: Services) -> None:
    """Read what the database says, as soon as it answers."""
    settings = services.settings
    while True:
        try:
            if settings.admin_key is not None:
                await ensure_admin(services.engine, settings.admin_key.get_secret_value())
            await services.keys.load(services.engine)
            await services.rollout.restore()
            services.inference.restoring = False
            log.info("routes_restored count=%d", len(services.inference.routes))
            return
        except Exception as error:
            if not problems.is_connection_failure(error):
                raise
            log.warning("database_unavailable at=start error=%r", error)
        await asyncio.sleep(RETRY_PAUSE)


async def _follow_keys(services: Services) -> None:
    while True:
        await asyncio.sleep(services.settings.key_refresh_interval.total_seconds())
        try:
            await services.keys.load(services.engine)
        except Exception as error:
            # The keys known so far stay valid: answers do not depend on Postgres.
            if not problems.is_connection_failure(error):
                raise
            log.warning("keys_not_refreshed error=%r", error)


def _read(services: Services) -> Iterator[Metric]:
    """The numbers of the moment; copies first, as another thread goes on counting."""
    inference, shipping = services.inference, services.shipping
    yield from metrics.answers(dict(inference.counts))
    yield from metrics.replicas(services.replicas.queues())
    routes_now = dict(inference.routes)
    yield from metrics.revisions({name: route.revision for name, route in routes_now.items()})
    yield from metrics.record(
        shipping.lag(),
        limit=services.journal.limit_bytes,
        shipped=shipping.shipped_rows,
        failures=shipping.failures,
        refused=shipping.refused_rows,
    )


@asynccontextmanager
async def _running(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    services = _services(settings)
    app.state.services = services
    app.state.registry = metrics.registry(lambda: _read(services))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_keep_doing("shipping", services.shipping.run)),
                group.create_task(_keep_doing("bring_up", lambda: _bring_up(services))),
                group.create_task(_keep_doing("keys", lambda: _follow_keys(services))),
            ]
            try:
                yield
            finally:
                await services.inference.settle(SETTLE_WITHIN)
                await services.rollout.stop()
                await services.shipping.drain(SETTLE_WITHIN.total_seconds())
                for task in tasks:
                    task.cancel()
    finally:
        services.journal.close()
        await services.engine.dispose()


async def _replay(_: Request, error: Exception) -> Response:
    """Give the answer of an earlier, equal request again."""
    assert isinstance(error, Replayed)
    headers = {"Idempotent-Replayed": "true"}
    if error.status == 204:
        return Response(status_code=204, headers=headers)
    return JSONResponse(error.body, error.status, headers)


def create_api(settings: Settings) -> FastAPI:
    """Make the API without the fast path in front of it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(app, settings):
            yield

    app = FastAPI(
        title="Leadsman serving",
        version=metadata.version("leadsman"),
        lifespan=lifespan,
        redirect_slashes=False,
    )
    for router in ROUTERS:
        app.include_router(router)
    problems.install(app)
    app.add_exception_handler(Replayed, _replay)
    app.add_middleware(
        BodyLimit, limit=settings.request_limit_bytes, large_limit=settings.artefact_limit_bytes
    )
    setattr(app, "openapi", lambda: openapi.document(app))  # noqa: B010  # mypy: a method
    return app


def create_app(settings: Settings) -> ASGIApp:
    """Make the ASGI application of one process."""
    return FastPredictions(create_api(settings))


def serve(settings: Settings) -> None:
    """Answer until the process is told to stop."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http="httptools",
        lifespan="on",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=30,
    )
