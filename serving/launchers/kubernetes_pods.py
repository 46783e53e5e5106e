"""What a pod's status says of the replica in it: from values to values."""

from dataclasses import dataclass
from typing import Any

from serving.launchers.base import memory_verdict

SIGKILL = 9
FIRST_SIGNAL_STATUS = 128
"""Exit statuses above this are of signals."""
NOT_STARTED = 125
"""Status of a replica whose container the node could not make."""
HOPELESS = frozenset({
    "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
    "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
})  # fmt: skip
"""Why a container waits where waiting on helps nobody. A first failed pull is tried again."""

OF_IMAGES = frozenset({
    "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName",
    "ImageInspectError",
})  # fmt: skip
"""Where the sentence has to name the image."""


@dataclass(frozen=True, slots=True)
class End:
    """How a replica ended."""

    status: int
    """Exit status, negative for a signal."""
    why: str
    """What it could not say itself; may be empty."""
    previous: bool = False
    """Whether its log is that of the container before the one that runs now."""
    words: str = ""
    """The end of what it wrote, as far as the node kept it with the status."""


def is_leaving(pod: Any) -> bool:
    """Whether it was deleted already."""
    return pod.metadata.deletion_timestamp is not None


def has_left(pod: Any) -> bool:
    """Whether it was deleted and nothing runs in it any more, or did yet.

    The object stays until its node has tidied up after it, in a round of every ten seconds.
    """
    return is_leaving(pod) and not is_running(pod)


def is_running(pod: Any) -> bool:
    """Whether its container runs."""
    status = _container(pod)
    return status is not None and status.state is not None and status.state.running is not None


def end_of(pod: Any, memory_mb: int | None) -> End | None:
    """How the replica in a pod ended; none while it may still answer.

    Parameters
    ----------
    memory_mb
        The limit that held.
    """
    if pod.status.phase == "Failed" and not _container(pod):
        return End(-SIGKILL, _sentence(pod.status.reason, pod.status.message))
    status = _container(pod)
    if status is None:
        return None
    state, before = status.state, status.last_state
    if state is not None and state.terminated is not None:
        return _terminated(state.terminated, memory_mb, pod, previous=False)
    if status.restart_count and before is not None and before.terminated is not None:
        # Its node has started it again, with nobody to connect to it.
        return _terminated(before.terminated, memory_mb, pod, previous=True)
    waiting = None if state is None else state.waiting
    if waiting is not None and waiting.reason in HOPELESS:
        return End(NOT_STARTED, hindrance(pod))
    return None


def _terminated(how: Any, memory_mb: int | None, pod: Any, *, previous: bool) -> End:
    code = int(how.exit_code)
    status = code if code <= FIRST_SIGNAL_STATUS else FIRST_SIGNAL_STATUS - code
    if how.reason in ("ContainerCannotRun", "StartError"):
        return End(NOT_STARTED, _sentence(how.reason, how.message), previous)
    return End(status, _verdict(how, status, memory_mb, pod), previous, str(how.message or ""))


def _verdict(how: Any, status: int, memory_mb: int | None, pod: Any) -> str:
    """What ended a container that ran."""
    if how.reason == "OOMKilled":
        return memory_verdict(memory_mb)
    if pod.status.reason == "Evicted":
        return _sentence("Evicted", pod.status.message)
    if status != -SIGKILL:
        return ""
    if memory_mb is not None:
        # Where the kernel ended a child of the container's first process, only the status says.
        return f"(It was killed by SIGKILL; its memory is {memory_mb} MiB.)"
    return "(It was killed by SIGKILL, as the kernel does where memory runs out.)"


def failed_pull(pod: Any) -> str:
    """Why an image could not be pulled, while its node says so; it soon says only that it waits."""
    status = _container(pod)
    waiting = status.state.waiting if status is not None and status.state is not None else None
    return hindrance(pod) if waiting is not None and waiting.reason == "ErrImagePull" else ""


def hindrance(pod: Any) -> str:
    """Why a pod does not run yet; empty where it does, or where nothing is known."""
    status = _container(pod)
    waiting = status.state.waiting if status is not None and status.state is not None else None
    if waiting is not None and waiting.reason not in (None, "ContainerCreating", "PodInitializing"):
        if waiting.reason not in OF_IMAGES:
            return _sentence(waiting.reason, waiting.message)
        image = pod.spec.containers[0].image
        said = waiting.message or ""
        return _sentence(waiting.reason, said if image in said else f"image {image}: {said}")
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return _sentence(condition.reason, condition.message)
    return "" if is_running(pod) else _sentence(f"Its pod is {pod.status.phase}", None)


def refusal(deployment: Any) -> str:
    """Why a Deployment's pods cannot be made, such as a quota; empty where they can."""
    for condition in (deployment.status and deployment.status.conditions) or ():
        if condition.type == "ReplicaFailure" and condition.status == "True":
            return _sentence(condition.reason, condition.message)
    return ""


def _sentence(reason: str | None, message: str | None) -> str:
    said = ": ".join(filter(None, (reason, message)))
    return f"({said.strip().rstrip('.:')}.)" if said else ""


def _container(pod: Any) -> Any:
    statuses = pod.status.container_statuses
    return statuses[0] if statuses else None
