"""What applications allow each tier: the newest word counts, and all of them are kept."""

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.schema import ApplicationBudgetRow
from monitor.settings import Tier
from monitor.watches.budget import BudgetChange, Own

_NEWEST = text("""
    SELECT DISTINCT ON (application_id, tier) application_id, tier, per_year
      FROM application_budgets ORDER BY application_id, tier, id DESC
""")


async def read_all_budgets(connection: AsyncConnection) -> dict[int, Own]:
    """Budgets of every application that sets any."""
    found: dict[int, dict[Tier, float]] = defaultdict(dict)
    for row in await connection.execute(_NEWEST):
        if row.per_year is not None:
            found[row.application_id][Tier(row.tier)] = row.per_year
    return dict(found)


async def read_histories(connection: AsyncConnection) -> dict[int, list[BudgetChange]]:
    """All changes by every application that ever set a budget, the oldest first."""
    found: dict[int, list[BudgetChange]] = defaultdict(list)
    table = ApplicationBudgetRow
    query = select(table.application_id, table.tier, table.per_year, table.set_at)
    for row in await connection.execute(query.order_by(table.id)):
        change = BudgetChange(Tier(row.tier), row.per_year, row.set_at)
        found[row.application_id].append(change)
    return dict(found)


async def read_changes(connection: AsyncConnection, application_id: int) -> list[BudgetChange]:
    """All that an application ever said, the oldest first."""
    table = ApplicationBudgetRow
    query = select(table.tier, table.per_year, table.set_at).order_by(table.id)
    found = await connection.execute(query.where(table.application_id == application_id))
    return [BudgetChange(Tier(row.tier), row.per_year, row.set_at) for row in found]


async def read_budgets(connection: AsyncConnection, application_id: int) -> Own:
    """What one application allows now."""
    newest = {one.tier: one.per_year for one in await read_changes(connection, application_id)}
    return {tier: per_year for tier, per_year in newest.items() if per_year is not None}


async def add_changes(
    connection: AsyncConnection,
    application_id: int,
    changed: Mapping[Tier, float | None],
    actor: str,
) -> None:
    """Write down what tiers are allowed from now on."""
    if changed:
        await connection.execute(
            insert(ApplicationBudgetRow),
            [
                {
                    "application_id": application_id,
                    "tier": tier.value,
                    "per_year": per_year,
                    "actor": actor,
                }
                for tier, per_year in changed.items()
            ],
        )
