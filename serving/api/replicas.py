"""`/v1/models/{model}/versions/{version}/replicas`: how many, and what each may use."""

from typing import Annotated

from fastapi import APIRouter, status
from pydantic import Field

from serving.api.bodies import Body, View
from serving.api.context import Changes, ReadContext
from serving.api.models import ModelName, VersionName
from serving.api.problems import problems
from serving.batching import State
from serving.errors import VersionNotFoundError
from serving.records import ReplicaPlan
from serving.replicas import Replicas
from serving.store import fleet, replica_counts

router = APIRouter(prefix="/v1/models/{model}/versions/{version}/replicas", tags=["models"])

MOST_REPLICAS = 64
"""Replicas of a version in one serving process."""
LEAST_MEMORY_MB = 64
"""Less than an interpreter with numpy needs helps nobody."""


class ReplicasRequest(Body):
    """What a version is to have in each serving process."""

    count: Annotated[int, Field(ge=1, le=MOST_REPLICAS)]
    """Replicas."""
    cpu: Annotated[float, Field(gt=0, le=1024)] | None = None
    """Processors of one replica; no limit where absent. Child processes get whole ones."""
    memory_mb: Annotated[int, Field(ge=LEAST_MEMORY_MB, le=2**24)] | None = None
    """Memory of one replica in MiB; no limit where absent."""


class ReplicasView(View):
    """What a version is to have, and what it has."""

    count: int
    """Replicas in each serving process."""
    cpu: float | None
    memory_mb: int | None
    processes: int
    """Serving processes that live now."""
    state: State | None
    """In the process that answers; null where nothing needs the version there."""
    last_words: str | None
    """The end of what a replica there wrote to its standard error; null where it wrote nothing."""


def _view(plan: ReplicaPlan, processes: int, version: int, replicas: Replicas) -> ReplicasView:
    return ReplicasView(
        count=plan.count,
        cpu=plan.cpu,
        memory_mb=plan.memory_mb,
        processes=processes,
        state=replicas.state_of(version),
        last_words=replicas.last_words_of(version),
    )


@router.get("", summary="Show the replicas", responses=problems(VersionNotFoundError))
async def show_replicas(
    model: ModelName, version: VersionName, context: ReadContext
) -> ReplicasView:
    """Show how many replicas a version is to have in each serving process, and how it stands."""
    services = context.services
    async with context.reading() as connection:
        found = await services.versions.get(connection, model, version)
        plan = await replica_counts.get(connection, found.id) or services.replicas.usual
        others = await fleet.others(connection, services.fleet.process)
    return _view(plan, len(others) + 1, found.id, services.replicas)


@router.put("", summary="Set the replicas", responses=problems(VersionNotFoundError))
async def set_replicas(
    model: ModelName, version: VersionName, body: ReplicasRequest, context: Changes
) -> ReplicasView:
    """State how many replicas a version has in each serving process, and what each may use.

    Every serving process follows at once, and a version that starts later begins with them. Where
    the limits change, replicas are replaced one after the other: one of them always answers.
    """
    services = context.services
    plan = ReplicaPlan(body.count, body.cpu, body.memory_mb)
    async with context.change() as change:
        found = await services.versions.get(change.connection, model, version)
        await replica_counts.put(change.connection, found.id, plan, context.key.id)
        others = await fleet.others(change.connection, services.fleet.process)
        answer = _view(plan, len(others) + 1, found.id, services.replicas)
        change.answer(status.HTTP_200_OK, answer.model_dump(mode="json"))
    services.replicas.plan({**services.replicas.plans, found.id: plan})
    return answer
