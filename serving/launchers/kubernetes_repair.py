"""What others have changed in the cluster becomes what it should be again."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from serving.launchers.cluster import BUDGETS, DEPLOYMENTS, SERVICES, Cluster, Kind
from serving.launchers.differences import differences
from serving.launchers.kubernetes_objects import OWNER
from serving.launchers.kubernetes_replica import Group

log = logging.getLogger("serving.launchers")


def repair(
    cluster: Cluster,
    owner: str,
    groups: Sequence[Group],
    wanted: Mapping[str, Sequence[tuple[Kind, Any]]],
) -> None:
    """Compare the objects of one owner with what they should be, and put what differs.

    Parameters
    ----------
    wanted
        By the name of a group, all that it needs.
    """
    found = {
        (kind, one.metadata.name): one
        for kind in (DEPLOYMENTS, SERVICES, BUDGETS)
        for one in cluster.find(kind, {OWNER: owner})
    }
    for group in groups:
        for kind, one in wanted[group.name]:
            there = found.get((kind, one.metadata.name))
            if edits := _edits(cluster, group, kind, one, there):
                put = cluster.put(kind, one)
                if kind is DEPLOYMENTS:
                    group.generation = put.metadata.generation
                log.warning(
                    "drift_repaired kind=%s name=%s fields=%s",
                    kind.noun, one.metadata.name, ",".join(edits),
                )  # fmt: skip


def _edits(cluster: Cluster, group: Group, kind: Kind, wanted: Any, there: Any) -> list[str]:
    """Where an object is not as it should be; at its root where it is not there."""
    if there is None or there.metadata.deletion_timestamp is not None:
        return ["all"]
    edits = differences(cluster.plain(wanted), cluster.plain(there))
    if not edits and kind is DEPLOYMENTS and there.metadata.generation != group.generation:
        return ["spec"]
    return edits
