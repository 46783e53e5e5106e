"""The switch of everything that the monitor does by itself."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.remedies.guards import Automation
from monitor.schema import AutomationSwitchRow

SWITCH_LOCK = 7_530_340
"""Advisory lock: who turns the switch holds it alone, who begins a change holds it with others.
So no change begins after the answer to the turning has left."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One turn of the switch."""

    application_id: int | None
    """None for the switch of all applications."""
    enabled: bool
    reason: str | None
    actor: str | None
    at: datetime | None

    def sentence(self) -> str:
        """Who switched off what, and why."""
        what = "all applications" if self.application_id is None else "this application"
        why = f": {self.reason}" if self.reason else ""
        return f"automation of {what} is off, by {self.actor}{why}"


UNTOUCHED = Switch(None, True, None, None, None)
"""A switch that nobody turned is on."""


async def read_switches(connection: AsyncConnection) -> dict[int | None, Switch]:
    """The switches that were ever turned, as they stand; under None that of all applications."""
    newest = select(func.max(AutomationSwitchRow.id)).group_by(AutomationSwitchRow.application_id)
    found = await connection.execute(
        select(*AutomationSwitchRow.__table__.c).where(AutomationSwitchRow.id.in_(newest))
    )
    return {
        row.application_id: Switch(row.application_id, row.enabled, row.reason, row.actor, row.at)
        for row in found
    }


def effective(switches: dict[int | None, Switch], application_id: int) -> Automation:
    """Whether an application's automation is on: its own switch and that of all must be."""
    for key in (None, application_id):
        switch = switches.get(key, UNTOUCHED)
        if not switch.enabled:
            return Automation(False, switch.sentence())
    return Automation()


async def read_automation(connection: AsyncConnection, application_id: int) -> Automation:
    """Whether an application's automation is on."""
    return effective(await read_switches(connection), application_id)


async def wait_for_switch(connection: AsyncConnection, *, alone: bool) -> None:
    """Hold the switch until the transaction ends: alone to turn it, with others to act."""
    function = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"
    await connection.execute(text(f"SELECT {function}({SWITCH_LOCK})"))


async def turn_switch(
    connection: AsyncConnection,
    application_id: int | None,
    *,
    enabled: bool,
    reason: str | None,
    actor: str,
) -> Switch:
    """Turn a switch; every turn is kept."""
    await wait_for_switch(connection, alone=True)
    row = (
        await connection.execute(
            insert(AutomationSwitchRow)
            .values(application_id=application_id, enabled=enabled, reason=reason, actor=actor)
            .returning(*AutomationSwitchRow.__table__.c)
        )
    ).one()
    return Switch(row.application_id, row.enabled, row.reason, row.actor, row.at)
