"""One serving process: everything made, connected, and ended in order."""

import asyncio
import contextlib
import logging
import resource
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib import metadata
from uuid import uuid4

import uvicorn
from fastapi import FastAPI, Request
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from starlette.responses import JSONResponse, Response

from serving import scrape
from serving.agreement import Agreement
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
from serving.api.connection import end_stalled
from serving.api.context import Replayed, Services
from serving.api.limits import BodyLimit
from serving.api.prediction_protocol import PredictionProtocol
from serving.artefacts import ArtefactStore
from serving.collector import spare_what_stays
from serving.exposition import Page
from serving.feedback import FeedbackDesk
from serving.fleet import Fleet
from serving.in_force import InForce
from serving.inference import Inference
from serving.journal import Journal
from serving.keys import KeyRing, ensure_admin
from serving.launching import end_what_was_left, environments_of, make_launcher
from serving.learning import Learning
from serving.leftovers import ship_leftovers
from serving.local_copy import LocalCopy
from serving.online import OnlineLearning
from serving.records import ReplicaPlan
from serving.replicas import Replicas
from serving.retention import keep_disk_small
from serving.rollout import Rollout
from serving.settings import Settings
from serving.shipping import Shipping
from serving.siblings import Siblings
from serving.store.models import Versions
from serving.workers import listener

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
STARTUP_FAILED = 3
"""Exit status where the process could not begin to answer."""
CONNECTIONS = 65_536
"""Descriptors that a process asks for, where the system allows it."""
LOOK_EVERY = 50
"""Tenths of a second between two looks for connections on which a request stands still."""
LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
RETRY_PAUSE = 1.0
"""Seconds before a task of the process is begun again after it failed."""


def _engine(settings: Settings) -> AsyncEngine:
    return create_async_engine(
        settings.sqlalchemy_url,
        pool_size=settings.database_connections,
        max_overflow=0,
        pool_timeout=5,
        # The connection used last knows the statements that come again.
        pool_use_lifo=True,
        # A server that was restarted leaves connections that look open.
        pool_pre_ping=True,
        connect_args={"timeout": 5, "command_timeout": 30},
    )


def _services(settings: Settings) -> Services:
    settings.own_dir.mkdir(parents=True, exist_ok=True)
    journal = Journal(settings.own_dir / "journal.db", settings.journal_limit_bytes)
    engine = _engine(settings)
    inference = Inference(journal)
    inference.restoring = True
    versions = Versions(settings.artefacts)
    launcher = make_launcher(settings)
    replicas = Replicas(
        launcher,
        python=settings.replica_python,
        start_within=settings.deploy_timeout,
        build_within=settings.build_timeout,
        drain_within=settings.drain_timeout,
        retire_after=settings.retire_after,
        options=settings.queues,
        usual=settings.usual_replicas,
    )
    in_force = InForce(engine, versions, replicas, inference, keep_good=settings.warm_revisions)
    process, keys = uuid4(), KeyRing()
    agreement = Agreement(
        engine, versions, replicas, in_force,
        process=process, within=settings.deploy_timeout.total_seconds(),
    )  # fmt: skip

    async def follow_keys() -> None:
        if settings.admin_key is not None and not in_force.restored:
            await ensure_admin(engine, settings.admin_key.get_secret_value())
        if await keys.load(engine):
            in_force.changed.set()

    def follow_replicas(plans: dict[int, ReplicaPlan]) -> None:
        if replicas.plan(plans):
            in_force.changed.set()

    fleet = Fleet(
        settings.asyncpg_url, engine, in_force, agreement,
        process=process, folder=settings.own_dir, follow_keys=follow_keys,
        follow_replicas=follow_replicas, poll=settings.poll_interval.total_seconds(),
    )  # fmt: skip
    return Services(
        settings=settings,
        engine=engine,
        keys=keys,
        versions=versions,
        artefacts=ArtefactStore(settings.artefacts, settings.artefact_limit_bytes),
        inference=inference,
        journal=journal,
        shipping=Shipping(journal, settings.asyncpg_url),
        feedback=FeedbackDesk(journal, engine),
        launcher=launcher,
        replicas=replicas,
        in_force=in_force,
        fleet=fleet,
        rollout=Rollout(engine, versions, replicas, in_force, agreement),
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


def _local_copy(services: Services) -> LocalCopy:
    in_force = services.in_force
    return LocalCopy(
        services.settings.own_dir / "registry.json",
        in_force.changed,
        lambda: (
            set(in_force.known),
            list(in_force.states.values()),
            services.keys.known(),
            services.replicas.plans,
        ),
    )


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
    yield from scrape.answers(page, inference.counts)
    routes_now = {name: route.revision for name, route in inference.routes.items()}
    yield from scrape.revisions(page, routes_now)
    yield from scrape.replicas(page, list(services.replicas.queues()))
    yield from scrape.record(
        page,
        shipping.lag(),
        limit=services.journal.limit_bytes,
        shipped=shipping.shipped_rows,
        failures=shipping.failures,
        refused=shipping.refused_rows,
    )


def _online_learning(services: Services) -> OnlineLearning | None:
    """What lets online models learn; in one process of a machine, where environments are."""
    environments, settings = environments_of(services.launcher), services.settings
    if environments is None or settings.worker > 1:
        return None
    return OnlineLearning(
        settings.asyncpg_url, engine=services.engine, in_force=services.in_force,
        rollout=services.rollout, versions=services.versions, artefacts=services.artefacts,
        environments=environments, python=settings.replica_python,
        poll=settings.poll_interval.total_seconds(),
    )  # fmt: skip


@asynccontextmanager
async def _running(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    services = _services(settings)
    copy = _local_copy(services)
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
            if (teaching := _online_learning(services)) is not None:
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


class _Server(uvicorn.Server):
    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_EVERY == 0:
            end_stalled(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        spare_what_stays()


def _allow_connections() -> None:
    """Open as many as the system lets us: the usual limit is for programs that have few."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS if most == resource.RLIM_INFINITY else min(most, CONNECTIONS)
    if now != resource.RLIM_INFINITY and now < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def serve(settings: Settings) -> None:
    """Answer until the process is told to stop."""
    _allow_connections()
    config = uvicorn.Config(
        create_api(settings),
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=PredictionProtocol,
        # No route is one: a connection that is upgraded would only be held.
        ws="none",
        lifespan="on",
        access_log=False,
        # Nothing here reads a client's address, and neither header tells a client anything.
        proxy_headers=False,
        server_header=False,
        log_config=None,
        timeout_graceful_shutdown=30,
    )
    server = _Server(config)
    shared = [listener(settings.host, settings.port)] if settings.worker else None
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=shared)
    if not server.started:
        raise SystemExit(STARTUP_FAILED)
