"""What a pod's status says of the replica in it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from kubernetes import client

from serving.launchers.kubernetes_pods import (
    HOPELESS,
    NOT_STARTED,
    end_of,
    failed_pull,
    has_left,
    hindrance,
    is_leaving,
    is_running,
    refusal,
)

IMAGE = "registry.example/replica:1"
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def pod(
    *, phase: str = "Running", restarts: int = 0, leaving: bool = False, started: bool = True,
    before: client.V1ContainerState | None = None, reason: str | None = None,
    message: str | None = None, conditions: list[client.V1PodCondition] | None = None,
    **state: Any,
) -> client.V1Pod:  # fmt: skip
    one = client.V1ContainerStatus(
        name="replica", image=IMAGE, image_id="", ready=False, restart_count=restarts,
        state=client.V1ContainerState(**state), last_state=before,
    )  # fmt: skip
    return client.V1Pod(
        metadata=client.V1ObjectMeta(name="p", deletion_timestamp=NOW if leaving else None),
        spec=client.V1PodSpec(containers=[client.V1Container(name="replica", image=IMAGE)]),
        status=client.V1PodStatus(
            phase=phase, reason=reason, message=message, conditions=conditions,
            container_statuses=[one] if started else None,
        ),
    )  # fmt: skip


def waits(reason: str, message: str | None = None) -> dict[str, Any]:
    return {"waiting": client.V1ContainerStateWaiting(reason=reason, message=message)}


def ended(code: int, reason: str = "Error", message: str | None = None) -> dict[str, Any]:
    how = client.V1ContainerStateTerminated(exit_code=code, reason=reason, message=message)
    return {"terminated": how}


RUNS: dict[str, Any] = {"running": client.V1ContainerStateRunning(started_at=NOW)}


def test_one_that_runs_or_is_on_its_way_has_not_ended() -> None:
    assert end_of(pod(**RUNS), None) is None
    assert end_of(pod(phase="Pending", started=False), None) is None
    for reason in ("ContainerCreating", "PodInitializing", "ErrImagePull"):
        assert end_of(pod(phase="Pending", **waits(reason)), None) is None
    assert is_running(pod(**RUNS))
    assert not is_running(pod(**waits("ContainerCreating")))


@pytest.mark.parametrize(
    ("code", "status"), [(0, 0), (1, 1), (7, 7), (128, 128), (137, -9), (139, -11), (143, -15)]
)
def test_statuses_of_signals_are_told_as_processes_tell_them(code: int, status: int) -> None:
    found = end_of(pod(**ended(code)), None)
    assert found is not None
    assert found.status == status


def test_memory_that_ran_out_is_said_with_the_limit() -> None:
    found = end_of(pod(**ended(137, "OOMKilled")), 512)
    assert found is not None
    assert found.why == "(It reached its memory limit of 512 MiB.)"
    other = end_of(pod(**ended(137)), 512)
    assert other is not None
    assert "SIGKILL; its memory is 512 MiB" in other.why
    assert "memory runs out" in (end_of(pod(**ended(137)), None) or found).why


def test_what_a_container_wrote_last_is_kept_with_its_status() -> None:
    found = end_of(pod(**ended(1, message="no licence")), None)
    assert found is not None
    assert (found.words, found.previous) == ("no licence", False)


def test_one_that_its_node_has_started_again_ended_all_the_same() -> None:
    before = client.V1ContainerState(**ended(3))
    found = end_of(pod(restarts=1, before=before, **RUNS), None)
    assert found is not None
    assert (found.status, found.previous) == (3, True)


@pytest.mark.parametrize("reason", sorted(HOPELESS))
def test_where_waiting_helps_nobody_it_has_ended(reason: str) -> None:
    found = end_of(pod(phase="Pending", **waits(reason, "no")), None)
    assert found is not None
    assert found.status == NOT_STARTED
    assert found.why.startswith(f"({reason}: ")


@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"])
def test_an_image_that_is_not_there_is_named_once(reason: str) -> None:
    assert hindrance(pod(**waits(reason, "denied"))) == f"({reason}: image {IMAGE}: denied.)"
    assert hindrance(pod(**waits(reason))) == f"({reason}: image {IMAGE}.)"
    said = f'Back-off pulling image "{IMAGE}"'
    assert hindrance(pod(**waits(reason, said))) == f"({reason}: {said}.)"


def test_why_a_pull_failed_is_known_only_while_the_node_says_it() -> None:
    assert failed_pull(pod(**waits("ErrImagePull", "denied")))
    for other in (waits("ImagePullBackOff", "Back-off"), waits("CrashLoopBackOff"), RUNS):
        assert not failed_pull(pod(**other))
    assert not failed_pull(pod(started=False))


def test_a_container_that_the_node_could_not_make_was_not_started() -> None:
    found = end_of(pod(**ended(128, "ContainerCannotRun", "no such program")), None)
    assert found is not None
    assert (found.status, found.why) == (
        NOT_STARTED, "(ContainerCannotRun: no such program.)",
    )  # fmt: skip


def test_an_eviction_is_said_with_its_reason() -> None:
    found = end_of(
        pod(phase="Failed", started=False, reason="Evicted", message="disk pressure"), None
    )
    assert found is not None
    assert (found.status, found.why) == (-9, "(Evicted: disk pressure.)")
    ran = end_of(pod(phase="Failed", reason="Evicted", message="disk", **ended(137)), None)
    assert ran is not None
    assert ran.why == "(Evicted: disk.)"


def test_a_pod_that_no_node_takes_says_why() -> None:
    condition = client.V1PodCondition(
        type="PodScheduled", status="False", reason="Unschedulable", message="0/1 nodes"
    )
    one = pod(phase="Pending", started=False, conditions=[condition])
    assert hindrance(one) == "(Unschedulable: 0/1 nodes.)"
    assert hindrance(pod(phase="Pending", started=False)) == "(Its pod is Pending.)"
    assert hindrance(pod(**RUNS)) == ""


def test_a_pod_has_left_once_it_was_deleted_and_nothing_runs_in_it() -> None:
    assert not is_leaving(pod(**RUNS))
    assert not has_left(pod(**ended(0)))
    assert not has_left(pod(leaving=True, **RUNS))
    assert has_left(pod(leaving=True, **ended(0)))
    assert has_left(pod(leaving=True, phase="Pending", started=False))


def test_a_deployment_whose_pods_are_refused_says_why() -> None:
    condition = client.V1DeploymentCondition(
        type="ReplicaFailure", status="True", reason="FailedCreate", message="exceeded quota"
    )
    spec = client.V1DeploymentSpec(
        selector=client.V1LabelSelector(), template=client.V1PodTemplateSpec()
    )
    status = client.V1DeploymentStatus(conditions=[condition])
    refused = client.V1Deployment(spec=spec, status=status)
    assert refusal(refused) == "(FailedCreate: exceeded quota.)"
    assert refusal(client.V1Deployment(spec=spec)) == ""
    condition.status = "False"
    assert refusal(refused) == ""
