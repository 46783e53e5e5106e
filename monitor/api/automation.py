"""The switch of everything that the monitor does by itself."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.api.context import Admin, Reader, Transaction, named, read_registry
from monitor.api.idempotency import Changes
from monitor.api.problems import PROBLEMS
from monitor.records import Application
from monitor.store import automation as store
from monitor.store.remedies import read_begun

router = APIRouter(
    prefix="/v1/automation", tags=["automation"], responses=PROBLEMS, route_class=Changes
)


class SwitchRequest(BaseModel):
    """How the switch is to stand."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    enabled: bool
    """Whether alarms may change routes by themselves."""
    reason: Annotated[str, Field(max_length=2000)] | None = None
    """Why, for the history."""


class SwitchAnswer(BaseModel):
    """How a switch stands, and who turned it last; nobody where it was never turned."""

    enabled: bool
    reason: str | None
    actor: str | None
    at: datetime | None

    @classmethod
    def of(cls, switch: store.Switch) -> "SwitchAnswer":
        """From the record."""
        return cls(enabled=switch.enabled, reason=switch.reason, actor=switch.actor, at=switch.at)


class AutomationAnswer(BaseModel):
    """Whether the monitor acts by itself on an application."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    application: str
    enabled: bool
    """Both switches are on: its own, and that of all applications."""
    switch: SwitchAnswer
    of_all: SwitchAnswer
    begun: list[int]
    """Remedies of which a call to serving was begun before and may still take effect."""


class AutomationOfAll(BaseModel):
    """The switch of all applications, and each application."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    enabled: bool
    switch: SwitchAnswer
    applications: list[AutomationAnswer]
    begun: list[int]
    """Remedies of which a call to serving was begun before and may still take effect."""


@router.get("", summary="Show all switches")
async def show_all(connection: Transaction, _: Reader) -> AutomationOfAll:
    """Whether the monitor acts by itself, on all applications and on each."""
    return await _all(connection)


@router.put("", summary="Turn the switch of all applications")
async def turn_all(connection: Transaction, caller: Admin, body: SwitchRequest) -> AutomationOfAll:
    """Switch everything off that the monitor does by itself, or on again.

    While it is off alarms still alert and remedies are proposed; nothing is approved and nothing
    acts. What was decided before becomes a proposal. Switching on does not act: a proposal made
    meanwhile waits for its approval.
    """
    await store.turn_switch(
        connection, None, enabled=body.enabled, reason=body.reason, actor=caller.name
    )
    return await _all(connection)


@router.get("/{application}", summary="Show an application's switch")
async def show_one(connection: Transaction, _: Reader, application: str) -> AutomationAnswer:
    """Whether the monitor acts by itself on an application."""
    found, _registry = await named(connection, application)
    return await answer_for(connection, found)


@router.put("/{application}", summary="Turn an application's switch")
async def turn_one(
    connection: Transaction, caller: Admin, application: str, body: SwitchRequest
) -> AutomationAnswer:
    """The same for one application. The switch of all outranks it."""
    found, _registry = await named(connection, application)
    await store.turn_switch(
        connection, found.id, enabled=body.enabled, reason=body.reason, actor=caller.name
    )
    return await answer_for(connection, found)


async def answer_for(connection: AsyncConnection, application: Application) -> AutomationAnswer:
    """One application's automation as it stands."""
    switches = await store.read_switches(connection)
    begun = [one for of, one in await read_begun(connection) if of == application.id]
    return _answer(application, switches, begun)


def _answer(
    application: Application, switches: dict[int | None, store.Switch], begun: list[int]
) -> AutomationAnswer:
    enabled = store.effective(switches, application.id).enabled
    return AutomationAnswer(
        application=application.name,
        enabled=enabled,
        switch=SwitchAnswer.of(switches.get(application.id, store.UNTOUCHED)),
        of_all=SwitchAnswer.of(switches.get(None, store.UNTOUCHED)),
        begun=begun,
    )


async def _all(connection: AsyncConnection) -> AutomationOfAll:
    switches = await store.read_switches(connection)
    registry = await read_registry(connection)
    begun = await read_begun(connection)
    answers = [
        _answer(one, switches, [number for of, number in begun if of == one.id])
        for one in sorted(registry.applications.values(), key=lambda a: a.name)
    ]
    mine = switches.get(None, store.UNTOUCHED)
    return AutomationOfAll(
        enabled=mine.enabled,
        switch=SwitchAnswer.of(mine),
        applications=answers,
        begun=[number for _, number in begun],
    )
