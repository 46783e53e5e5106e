"""One serving process: everything made, connected, and ended in order."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import metadata

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from serving import scrape
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
from serving.api import (
    replicas as replicas_api,
)
from serving.api.context import Replayed, Services
from serving.api.limits import BodyLimit
from serving.assembly import local_copy_of, make_services, online_learning_of
from serving.exposition import Page
from serving.launching import end_what_was_left
from serving.learning import Learning
from serving.leftovers import ship_leftovers
from serving.local_copy import LocalCopy
from serving.retention import keep_disk_small
from serving.settings import Settings
from serving.siblings import Siblings

log = logging.getLogger("serving.app")

ROUTERS = (
    applications.router,
    routes.router,
    models.router,
    replicas_api.router,
    predictions.router,
    trace.router,
    feedback.router,
    keys.router,
    open_inference.router,
    health.router,
)
SETTLE_WITHIN = timedelta(seconds=5)
"""At the end: time for shadows that were asked, then for the journal to reach Postgres."""
WARM_WITHIN = 15.0
"""Longest time in seconds that a worker waits for its routes before it takes connections: until it
is warm the others have more to offer."""
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
RETRY_PAUSE = 1.0
"""Seconds before a task of the process is begun again after it failed."""


async def _keep_doing(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Do what must go on as long as the process does; begin again where it fails."""
    while True:
        try:
            await work()
            return
        except Exception:
            log.exception("task_failed task=%s", name)
        await asyncio.sleep(RETRY_PAUSE)


async def _stand_in(services: Services, copy: LocalCopy) -> None:
    """Where Postgres is away at the start, go by what an earlier process left."""
    await services.fleet.lost.wait()
    if services.in_force.restored:
        return
    found = await asyncio.to_thread(copy.load)
    if found is None or services.in_force.restored:
        return
    services.keys.replace(found.keys)
    services.replicas.plan(found.replicas)
    states = {state.application.name: state for state in found.states}
    services.in_force.adopt_copy(states, set(found.known), found.at)
    log.warning("serving_by_local_copy made_at=%s routes=%d", found.at, len(states))


async def _warm_up(services: Services) -> None:
    """Wait until all routes answer; not for ever, and not for a Postgres that is away."""
    loop = asyncio.get_running_loop()
    until = loop.time() + WARM_WITHIN
    in_force = services.in_force
    while loop.time() < until:
        if in_force.restored and not in_force.waiting():
            return
        if services.fleet.lost.is_set() and not in_force.restored:
            return
        await asyncio.sleep(0.02)
    log.warning("worker_not_warm applications=%s", ",".join(in_force.waiting()[:10]))


async def _clear_up(services: Services) -> None:
    await keep_disk_small(services.engine, services.artefacts, services.settings.revision_retention)


async def _follow_keys(services: Services) -> None:
    while True:
        await asyncio.sleep(services.settings.key_refresh_interval.total_seconds())
        try:
            if await services.keys.load(services.engine):
                services.in_force.changed.set()
        except Exception as error:
            # The keys known so far stay valid: answers do not depend on Postgres.
            if not problems.is_connection_failure(error):
                raise
            log.warning("keys_not_refreshed error=%r", error)


def _read(services: Services, page: Page) -> Iterator[None]:
    """The numbers of the moment, part by part."""
    inference, shipping = services.inference, services.shipping
    yield from scrape.about(page)
    queues = list(services.replicas.queues())
    yield from scrape.answers(page, inference.counts, {one.version.ref for one in queues})
    routes_now = {name: route.revision for name, route in inference.routes.items()}
    yield from scrape.revisions(page, routes_now)
    yield from scrape.replicas(page, queues)
    yield from scrape.record(
        page,
        shipping.lag(),
        limit=services.journal.limit_bytes,
        shipped=shipping.shipped_rows,
        failures=shipping.failures,
        refused=shipping.refused_rows,
    )


@asynccontextmanager
async def _running(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    services = make_services(settings)
    copy = local_copy_of(services)
    learning = Learning(
        settings.asyncpg_url, services.inference, poll=settings.poll_interval.total_seconds()
    )
    app.state.services = services
    siblings = app.state.siblings = Siblings(
        settings.data_dir, settings.worker, lambda page: _read(services, page)
    )
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_keep_doing("shipping", services.shipping.run)),
                group.create_task(_keep_doing("fleet", services.fleet.run)),
                group.create_task(_keep_doing("learning", learning.run)),
                group.create_task(_keep_doing("local_copy", copy.keep)),
                group.create_task(_keep_doing("stand_in", lambda: _stand_in(services, copy))),
                group.create_task(_keep_doing("keys", lambda: _follow_keys(services))),
                group.create_task(_keep_doing("leftovers", lambda: ship_leftovers(settings))),
                group.create_task(
                    _keep_doing(
                        "left_replicas",
                        lambda: end_what_was_left(services.launcher, settings.drain_timeout),
                    )
                ),
            ]
            if (teaching := online_learning_of(services)) is not None:
                tasks.append(group.create_task(_keep_doing("online_learning", teaching.run)))
            if settings.worker <= 1:
                clearing = _keep_doing("retention", lambda: _clear_up(services))
                tasks.append(group.create_task(clearing))
            if settings.worker:
                tasks.append(group.create_task(_keep_doing("numbers", siblings.answer)))
                await _warm_up(services)
            try:
                yield
            finally:
                await services.inference.settle(SETTLE_WITHIN)
                await services.in_force.stop()
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
    """Make the API; `PredictionProtocol` in front of it answers most predictions."""

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
