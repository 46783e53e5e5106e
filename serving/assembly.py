"""Everything that lives as long as the process, made and given to each other."""

from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from serving.agreement import Agreement
from serving.api.context import Services
from serving.artefacts import ArtefactStore
from serving.feedback import FeedbackDesk
from serving.fleet import Fleet
from serving.in_force import InForce
from serving.inference import Inference
from serving.journal import Journal
from serving.keys import KeyRing, ensure_admin
from serving.launching import environments_of, make_launcher
from serving.local_copy import LocalCopy
from serving.online import OnlineLearning
from serving.records import ReplicaPlan
from serving.replicas import Replicas
from serving.rollout import Rollout
from serving.settings import Settings
from serving.shipping import Shipping
from serving.store.models import Versions


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


def make_services(settings: Settings) -> Services:
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


def local_copy_of(services: Services) -> LocalCopy:
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


def online_learning_of(services: Services) -> OnlineLearning | None:
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
