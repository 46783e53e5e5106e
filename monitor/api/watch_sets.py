"""All watches of an application as one whole, as `leadsman watches` sends them; and its ledger."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from monitor.api.context import Admin, Reader, StateOf, Transaction, named
from monitor.api.forms import WatchAnswer
from monitor.api.idempotency import Changes
from monitor.api.problems import PROBLEMS
from monitor.api.watch_checks import check_here
from monitor.api.watch_forms import (
    BudgetsRequest,
    DeclaredWatches,
    LedgerAnswer,
    LedgerOfTier,
    WatchChangeAnswer,
    WatchesAnswer,
    WatchesRequest,
)
from monitor.errors import InvalidRequestError, NameTakenError
from monitor.records import Application, Watch
from monitor.settings import Settings, Tier
from monitor.store import ledger as ledger_store
from monitor.store import watches as store
from monitor.store.budgets import add_changes, read_budgets, read_changes
from monitor.views.ledger import ledger_of
from monitor.watches import budget
from monitor.watches.budget import Own
from monitor.watches.changes import Change, changes, told_apart, wanted_of
from monitor.watches.entries import WatchEntry

router = APIRouter(
    prefix="/v1/applications/{application}",
    tags=["watches"],
    responses=PROBLEMS,
    route_class=Changes,
)


@router.get("/watches", summary="An application's watches as a file states them")
async def declared_watches(
    state: StateOf, connection: Transaction, _: Reader, application: str
) -> DeclaredWatches:
    """Watches of one's own and what differs of the default ones: put back, they change nothing."""
    found, _registry = await named(connection, application)
    mode = state.settings.remedy_mode
    told = [told_apart(w, mode) for w in await store.read_watches(connection, found.id)]
    return DeclaredWatches(
        application=found.name,
        budgets=dict(await read_budgets(connection, found.id)),
        watches=[one for one in told if one],
    )


@router.put("/watches", summary="Make an application's watches those of a file")
async def put_watches(
    state: StateOf,
    connection: Transaction,
    caller: Admin,
    application: str,
    body: WatchesRequest,
    *,
    dry_run: Annotated[bool, Query(description="Only say what would change.")] = False,
) -> WatchesAnswer:
    """Add, change and remove until the watches are these: all of it, or none if one is refused.

    A watch whose signal, detector, tier or settings change begins its tests anew.
    """
    found, registry = await named(connection, application)
    _refuse_repeated(body.watches)
    wanted = wanted_of(body.watches, defaults=body.defaults, mode=state.settings.remedy_mode)
    for number, one in enumerate(wanted[: len(body.watches)]):
        where = f"/body/watches/{number}"
        check_here(one.form, found, registry, state.settings, where=where)
    # Those that the monitor's next turn would make.
    await store.add_default_watches(connection, [found.id], state.settings.remedy_mode)
    # Who applies another file at the same time is waited for; what that added shows after it only.
    await store.lock_watches(connection, found.id)
    present = await store.read_watches(connection, found.id)
    told = [one for one in changes(present, wanted) if one.action != "keep"]
    own = await read_budgets(connection, found.id)
    differ = _differing(own, body.budgets, state.settings)
    if not dry_run:
        await _set_budgets(connection, found.id, own, body.budgets, caller.name)
        own = body.budgets
        for change in told:
            await _carry_out(connection, found.id, found.name, change)
        present = await store.read_watches(connection, found.id)
    return WatchesAnswer(
        application=found.name,
        dry_run=dry_run,
        changes=[WatchChangeAnswer.of(change) for change in told],
        budgets=differ,
        watches=_answers(present, found.name, state.settings, own),
    )


@router.get("/budget", summary="The ledger of an application's budget")
async def budget_ledger(
    state: StateOf, connection: Transaction, _: Reader, application: str
) -> LedgerAnswer:
    """Per tier and watch: granted, spent, alarms so far, and false alarms to be expected so far."""
    found, _registry = await named(connection, application)
    return await _ledger(connection, found, state.settings)


@router.put("/budget", summary="Set the budgets of an application")
async def set_budget(
    state: StateOf, connection: Transaction, caller: Admin, application: str, body: BudgetsRequest
) -> LedgerAnswer:
    """Say how many false alarms a year each tier may raise: from the next turn on its watches share
    that. What was granted before stays granted, and no test begins anew."""
    found, _registry = await named(connection, application)
    own = await read_budgets(connection, found.id)
    await _set_budgets(connection, found.id, own, body.budgets, caller.name)
    return await _ledger(connection, found, state.settings)


async def _ledger(
    connection: AsyncConnection, application: Application, settings: Settings
) -> LedgerAnswer:
    tiers = ledger_of(
        await store.read_watches(connection, application.id),
        await ledger_store.read_accounts(connection, application.id),
        settings,
        await read_changes(connection, application.id),
    )
    return LedgerAnswer(
        application=application.name, tiers=[LedgerOfTier.of_tier(one) for one in tiers.values()]
    )


async def _set_budgets(
    connection: AsyncConnection, application_id: int, own: Own, wanted: Own, actor: str
) -> None:
    changed = {tier: wanted.get(tier) for tier in Tier if wanted.get(tier) != own.get(tier)}
    await add_changes(connection, application_id, changed, actor)


def _differing(own: Own, wanted: Own, settings: Settings) -> dict[Tier, dict[str, float]]:
    """Of each tier that is allowed more or less than it was."""
    made = {
        tier: {
            "from": budget.allowed(tier, settings, own),
            "to": budget.allowed(tier, settings, wanted),
        }
        for tier in Tier
        if own.get(tier) != wanted.get(tier)
    }
    return {tier: one for tier, one in made.items() if one["from"] != one["to"]}


def _refuse_repeated(entries: list[WatchEntry]) -> None:
    seen: set[str] = set()
    for number, entry in enumerate(entries):
        if entry.name in seen:
            where = f"/body/watches/{number}/name"
            raise InvalidRequestError(where, "a name of its own", entry.name)
        seen.add(entry.name)


async def _carry_out(
    connection: AsyncConnection, application_id: int, application: str, change: Change
) -> None:
    if change.action == "remove":
        assert change.present is not None
        await store.delete_watch(connection, change.present.id)
        return
    assert change.wanted is not None
    wanted = change.wanted
    if change.action == "change":
        assert change.present is not None
        await store.change_watch(connection, change.present.id, change.columns)
        return
    made = await store.add_watch(connection, application_id, wanted.form, wanted.mode)
    if made is None:
        raise NameTakenError(application, change.name)
    if not wanted.enabled:
        await store.change_watch(connection, made.id, {"enabled": False})


def _answers(
    watches: list[Watch], application: str, settings: Settings, own: Own
) -> list[WatchAnswer]:
    shares = budget.budgets(watches, settings, own)
    return [WatchAnswer.of(watch, application, shares.get(watch.id)) for watch in watches]
