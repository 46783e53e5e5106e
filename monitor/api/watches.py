"""Watches: what is tested, how, and at whose expense."""

from collections import defaultdict

from fastapi import APIRouter, status

from monitor.api.context import Admin, Reader, StateOf, Transaction, named, read_registry
from monitor.api.forms import WatchAnswer, WatchChange, WatchRequest
from monitor.api.idempotency import Changes
from monitor.api.problems import PROBLEMS
from monitor.api.watch_checks import check_here
from monitor.errors import NameTakenError
from monitor.records import Watch
from monitor.remedies import rules
from monitor.settings import Mode
from monitor.store import watches as store
from monitor.store.budgets import read_all_budgets, read_budgets
from monitor.watches import budget
from monitor.watches.changes import revised
from monitor.watches.fitting import check_form
from monitor.watches.watch import WatchForm

router = APIRouter(prefix="/v1/watches", tags=["watches"], responses=PROBLEMS, route_class=Changes)


@router.get("", summary="List watches")
async def list_watches(
    state: StateOf, connection: Transaction, _: Reader, application: str | None = None
) -> list[WatchAnswer]:
    """All watches with their share of the budget; of one application if it is named."""
    registry = await read_registry(connection)
    number = None if application is None else (await named(connection, application))[0].id
    watches = await store.read_watches(connection, number)
    by_application: dict[int, list[Watch]] = defaultdict(list)
    for watch in watches:
        by_application[watch.application_id].append(watch)
    own = await read_all_budgets(connection)
    shares: dict[int, float | None] = {}
    for one, mine in by_application.items():
        shares |= budget.budgets(mine, state.settings, own.get(one, budget.NONE))
    return [
        WatchAnswer.of(w, registry.applications[w.application_id].name, shares.get(w.id))
        for w in watches
    ]


@router.post("", status_code=status.HTTP_201_CREATED, summary="Make a watch")
async def make_watch(
    state: StateOf, connection: Transaction, _: Admin, body: WatchRequest
) -> WatchAnswer:
    """Make a watch. It shares its tier's budget with the watches that are there."""
    application, registry = await named(connection, body.application)
    rule = rules.parse(body.remedy, where="/body/remedy")
    form = WatchForm(
        body.name,
        body.signal,
        body.detector,
        body.tier,
        rule[0]["kind"],
        body.settings.model_dump(exclude_unset=True, mode="json"),
        rule,
    )
    check_form(form, where="/body")
    check_here(form, application, registry, state.settings, where="/body")
    mode = body.mode if rules.acts(rule) else Mode.OBSERVE
    watch = await store.add_watch(connection, application.id, form, mode)
    if watch is None:
        raise NameTakenError(application.name, body.name)
    share = budget.budgets(
        await store.read_watches(connection, application.id),
        state.settings,
        await read_budgets(connection, application.id),
    )
    return WatchAnswer.of(watch, application.name, share.get(watch.id))


@router.patch("/{watch_id}", summary="Change a watch")
async def change_watch(
    state: StateOf, connection: Transaction, _: Admin, watch_id: int, body: WatchChange
) -> WatchAnswer:
    """Change tier, settings, remedy, mode, or whether it is enabled.

    With another tier or other settings its tests begin anew. So do those of a watch that has failed
    with any change, also one that changes nothing, as {"enabled": true} where it is enabled.
    """
    watch = await store.read_watch(connection, watch_id, lock=True)
    registry = await read_registry(connection)
    application = registry.applications[watch.application_id]
    settings = None
    if body.settings is not None:
        settings = body.settings.model_dump(exclude_unset=True, mode="json")
    change = revised(
        watch,
        tier=body.tier,
        settings=settings,
        remedy=body.remedy,
        mode=body.mode,
        enabled=body.enabled,
    )
    assert change.wanted is not None
    if settings is not None:
        check_here(change.wanted.form, application, registry, state.settings, where="/body")
    if change.fields or watch.failed_at is not None:
        watch = await store.change_watch(connection, watch_id, change.columns)
    share = budget.budgets(
        await store.read_watches(connection, watch.application_id),
        state.settings,
        await read_budgets(connection, watch.application_id),
    )
    return WatchAnswer.of(watch, application.name, share.get(watch.id))


@router.delete("/{watch_id}", status_code=status.HTTP_204_NO_CONTENT, summary="Remove a watch")
async def delete_watch(connection: Transaction, _: Admin, watch_id: int) -> None:
    """Remove an operator's watch; its alarms stay. A default watch is disabled instead."""
    watch = await store.read_watch(connection, watch_id, lock=True)
    if watch.origin == "default":
        await store.change_watch(connection, watch_id, {"enabled": False})
    else:
        await store.delete_watch(connection, watch_id)
