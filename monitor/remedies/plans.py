"""Which change of a route a step of a rule asks for. Values in, values out."""

from dataclasses import dataclass

from monitor.records import Json, Registry, Revision, Route


@dataclass(frozen=True, slots=True)
class Plan:
    """The change that would help."""

    kind: str
    target: str | None
    """Version to which traffic would move; none where none moves."""
    request: Json


@dataclass(frozen=True, slots=True)
class Ground:
    """What a plan is made on."""

    application: str
    names: tuple[str, ...]
    """The version in question, then the one it was compared with."""
    subject: str
    current: Revision
    route: Route
    registry: Registry


def propose(
    step: Json, subject: str, route: Route, registry: Registry, application: str
) -> Plan | str:
    """The change that a step asks for, or the sentence why there is none.

    Parameters
    ----------
    step
        One step of a rule, with its settings.
    subject
        Numbers of the version in question and of the one it was compared with.
    """
    current = route.current
    assert current is not None
    numbers = subject.partition("|")[0].split(",")
    names = tuple(registry.versions[int(n)].name for n in numbers)
    ground = Ground(application, names, subject, current, route, registry)
    match step["kind"]:
        case "promote":
            return _promote(ground)
        case "stop_canary":
            return _stop_canary(ground)
        case "change_share":
            return _change_share(ground, step["share"])
        case "swap":
            return _swap(ground, step["version"])
        case "retrain":
            return _retrain(ground, step)
        case "challenge":
            return _challenge(ground, step["version"])
        case _:
            return _roll_back(ground, step.get("to_revision"))


def _put(
    ground: Ground,
    kind: str,
    policy: Json,
    *,
    to: str,
    away_from: str,
    moves_traffic: bool = True,
) -> Plan:
    return Plan(
        kind,
        to if moves_traffic else None,
        {
            "subject": ground.subject,
            "expected_revision": ground.current.revision,
            "method": "PUT",
            "path": f"/v1/applications/{ground.application}/route",
            "policy": policy,
            "to": to,
            "from": away_from,
            "moves_traffic": moves_traffic,
        },
    )


def _promote(ground: Ground) -> Plan | str:
    current, new = ground.current, ground.names[0]
    if len(ground.names) < 2 or current.champion != ground.names[1]:
        return f"{new} was compared with a version that is champion no more"
    if new not in current.challengers:
        return f"{new} is no challenger in revision {current.revision} any more"
    # The old champion answers in the shadow and so guards the new one.
    policy = {"kind": "shadow", "champion": new, "challengers": [current.champion]}
    return _put(ground, "promote", policy, to=new, away_from=current.champion)


def _stop_canary(ground: Ground) -> Plan | str:
    current, bad = ground.current, ground.names[0]
    if bad not in current.challengers or current.champion is None:
        return f"{bad} is no challenger in revision {current.revision} any more"
    rest = [name for name in current.challengers if name != bad]
    policy: Json = {"kind": "single", "champion": current.champion}
    if rest:
        policy = {"kind": "shadow", "champion": current.champion, "challengers": rest}
    # Nobody reads what a shadow answers: to withdraw one moves no traffic to the champion.
    moves = current.policy.get("kind") != "shadow"
    return _put(
        ground, "stop_canary", policy, to=current.champion, away_from=bad, moves_traffic=moves
    )


def _change_share(ground: Ground, share: float) -> Plan | str:
    current = ground.current
    challenger, before = current.policy.get("challenger"), current.policy.get("share")
    is_canary = current.policy.get("kind") == "canary" and isinstance(challenger, str)
    if not is_canary or current.champion is None or before is None:
        return f"revision {current.revision} has no canary whose share could change"
    if ground.names[0] not in (challenger, current.champion):
        return f"{ground.names[0]} is not part of revision {current.revision} any more"
    if share == before:
        return f"the canary's share is {share:g} already"
    # A schedule would go on over the new share.
    policy = {name: value for name, value in current.policy.items() if name != "ramp"}
    policy["share"] = share
    champion: str = current.champion
    to, away_from = (challenger, champion) if share > before else (champion, challenger)
    return _put(ground, "change_share", policy, to=str(to), away_from=str(away_from))


def _swap(ground: Ground, version: str) -> Plan | str:
    current, bad = ground.current, ground.names[0]
    if bad not in current.versions:
        return f"{bad} is not part of revision {current.revision} any more"
    if version == bad:
        return f"{version} is the version in question itself"
    policy = {"kind": "single", "champion": version}
    return _put(ground, "swap", policy, to=version, away_from=bad)


def _challenge(ground: Ground, version: str) -> Plan | str:
    current = ground.current
    if current.champion is None:
        return f"revision {current.revision} has no champion that could be challenged"
    others = [name for name in current.challengers if name != version]
    policy = {
        "kind": "shadow",
        "champion": current.champion,
        "challengers": [version, *others],
    }
    return _put(ground, "challenge", policy, to=version, away_from=current.champion)


def _retrain(ground: Ground, step: Json) -> Plan | str:
    current, bad = ground.current, ground.names[0]
    if current.champion is None or bad not in current.versions:
        return f"{bad} is not part of revision {current.revision} any more"
    model = bad.partition(":")[0]
    known = [v.id for v in ground.registry.versions.values() if v.model == model]
    request = {
        "subject": ground.subject,
        "from": bad,
        "model": model,
        "newest": max(known),
        "webhook": step["webhook"],
        "patience": step["patience"],
    }
    return Plan("retrain", None, request)


def _roll_back(ground: Ground, to_revision: int | None) -> Plan | str:
    current, bad = ground.current, ground.names[0]
    if current.champion != bad:
        return f"{bad} is not the champion of revision {current.revision} any more"
    if to_revision is None:
        wanted = ground.names[1] if len(ground.names) > 1 else None
        good = last_good(ground.route, bad, wanted=wanted)
    else:
        good = ground.route.at(to_revision)
    if good is None or good.champion is None or good.champion == bad:
        return f"no earlier revision of {ground.application} has another champion to go back to"
    request = {
        "subject": ground.subject,
        "expected_revision": current.revision,
        "method": "POST",
        "path": f"/v1/applications/{ground.application}/rollback",
        "to_revision": good.revision,
        "to": good.champion,
        "from": bad,
    }
    return Plan("roll_back", good.champion, request)


def last_good(route: Route, bad: str, *, wanted: str | None) -> Revision | None:
    """The revision to go back to.

    A change of route is laid on a pile and a rollback takes off what it undid; so a version that
    was itself rolled back is never returned to.
    """
    pile: list[Revision] = []
    for revision in route.revisions:
        if revision.kind == "rollback" and revision.restores is not None:
            while pile and pile[-1].revision > revision.restores:
                pile.pop()
        else:
            pile.append(revision)
    for revision in reversed(pile):
        if revision.champion != bad and (wanted is None or revision.champion == wanted):
            return revision
    return None
