"""The pod of a replica, from values to a typed object.

What a model may do is bounded as in a container of one machine: no privilege, no account, nothing
to write to but a bounded `/tmp`, limits on memory and processors.
"""

import json
import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from kubernetes import client

from serving.launchers.base import THREADS, Limits, model_options
from serving.launchers.environments import stated_python
from serving.launchers.kubernetes_settings import KubernetesSettings
from serving.records import Version

PORT = 7700
"""Where replicas listen."""
LINGER = 30
"""Seconds after which a replica without a front ends by itself; its node starts it again."""
GRACE = 10
"""Seconds between the request to end and the end by force, where a pod is not ended by us: a batch
that is being computed is answered first. What hangs is held no longer than that."""
CONTAINER = "replica"
ARTEFACTS = "/artefacts"
MILLI = 1000


@dataclass(frozen=True, slots=True)
class Shape:
    """All that the replicas of one Deployment have in common."""

    version: Version
    features: tuple[str, ...]
    limits: Limits
    image: str
    user: int
    """User and group id."""
    path: str
    """Of the artefact, in the folder of artefacts."""


class PodSpecs:
    """Makes pods as an operator wants them."""

    def __init__(self, settings: KubernetesSettings) -> None:
        self._settings = settings

    def make(self, shape: Shape) -> client.V1PodSpec:
        """Make the spec of a replica's pod."""
        settings = self._settings
        return client.V1PodSpec(
            automount_service_account_token=False,
            containers=[self._container(shape)],
            enable_service_links=False,
            image_pull_secrets=[client.V1LocalObjectReference(name=settings.image_pull_secret)]
            if settings.image_pull_secret
            else None,
            node_selector=settings.node_selector or None,
            priority_class_name=settings.priority_class,
            runtime_class_name=settings.runtime_class,
            security_context=client.V1PodSecurityContext(
                run_as_non_root=True,
                run_as_user=shape.user,
                run_as_group=shape.user,
                seccomp_profile=client.V1SeccompProfile(type="RuntimeDefault"),
            ),
            service_account_name=settings.service_account,
            termination_grace_period_seconds=GRACE,
            tolerations=[_toleration(one) for one in settings.tolerations] or None,
            volumes=[
                self._artefacts(),
                client.V1Volume(
                    name="temporary",
                    empty_dir=client.V1EmptyDirVolumeSource(
                        size_limit=f"{settings.temporary_mb}Mi"
                    ),
                ),
            ],
        )

    def _artefacts(self) -> client.V1Volume:
        kind, place, _ = self._settings.volume
        if kind == "host":
            host = client.V1HostPathVolumeSource(path=place, type="Directory")
            return client.V1Volume(name="artefacts", host_path=host)
        claim = client.V1PersistentVolumeClaimVolumeSource(claim_name=place, read_only=True)
        return client.V1Volume(name="artefacts", persistent_volume_claim=claim)

    def _container(self, shape: Shape) -> client.V1Container:
        settings = self._settings
        name = PurePosixPath(shape.path).name
        _, _, folder = settings.volume
        return client.V1Container(
            name=CONTAINER,
            image=shape.image,
            image_pull_policy=settings.image_pull_policy,
            args=_arguments(shape, f"{ARTEFACTS}/{name}"),
            env=[
                client.V1EnvVar(name=one, value=_threads(shape.limits)) for one in THREADS
            ],
            ports=[client.V1ContainerPort(name="frames", container_port=PORT, protocol="TCP")],
            resources=self._resources(shape),
            security_context=client.V1SecurityContext(
                allow_privilege_escalation=False,
                capabilities=client.V1Capabilities(drop=["ALL"]),
                read_only_root_filesystem=True,
            ),
            # The end of what it wrote is its last words where it could not be asked any more.
            termination_message_policy="FallbackToLogsOnError",
            volume_mounts=[
                # Its own artefact and no other.
                client.V1VolumeMount(
                    name="artefacts", mount_path=f"{ARTEFACTS}/{name}",
                    sub_path=f"{folder}/{shape.path}".lstrip("/"), read_only=True,
                ),
                client.V1VolumeMount(name="temporary", mount_path="/tmp"),
            ],
            **self._probes(),
        )  # fmt: skip

    def _probes(self) -> dict[str, client.V1Probe]:
        """A replica says hello when its model is loaded; that its port is open says nothing."""
        settings = self._settings
        command = ["python", "-m", "serving.replica.probe", f"tcp://127.0.0.1:{PORT}"]

        def probe(period: int, failures: int) -> client.V1Probe:
            return client.V1Probe(
                # The client's name for `exec`, which its types do not know.
                _exec=client.V1ExecAction(command=command),  # type: ignore[call-arg]
                period_seconds=period, timeout_seconds=settings.probe_timeout,
                failure_threshold=failures,
            )  # fmt: skip

        probes = {"readiness_probe": probe(settings.probe_period, settings.probe_failures)}
        if settings.liveness:
            period = settings.probe_period
            probes["startup_probe"] = probe(period, math.ceil(settings.start_seconds / period))
            probes["liveness_probe"] = probe(period, settings.probe_failures)
        return probes

    def _resources(self, shape: Shape) -> client.V1ResourceRequirements:
        """What is set aside is the limit, where there is one: a replica is never short of it."""
        limits, bounds = shape.limits, {}
        wanted = {
            "cpu": processors(self._settings.cpu_request),
            "memory": f"{self._settings.memory_request_mb}Mi",
        }
        if limits.cpu is not None:
            bounds["cpu"] = processors(limits.cpu)
        if limits.memory_mb is not None:
            bounds["memory"] = f"{limits.memory_mb}Mi"
        return client.V1ResourceRequirements(requests={**wanted, **bounds}, limits=bounds or None)


def processors(cpu: float) -> str:
    """Processors as the API server writes them."""
    milli = max(1, round(cpu * MILLI))
    return str(milli // MILLI) if milli % MILLI == 0 else f"{milli}m"


def _arguments(shape: Shape, artefact: str) -> list[str]:
    version = shape.version
    return [
        "--artefact", artefact, *model_options(version),
        "--features", json.dumps(shape.features), "--listen", f"tcp://0.0.0.0:{PORT}",
        "--linger", str(LINGER), *_required(version),
    ]  # fmt: skip


def _required(version: Version) -> list[str]:
    """What the image, which others made, is held to."""
    stated, options = version.manifest.get("requirements"), []
    if stated:
        options += ["--requires", json.dumps(stated)]
    if (python := stated_python(version.manifest)) is not None:
        options += ["--python", python]
    return options


def _threads(limits: Limits) -> str:
    return str(math.ceil(limits.cpu)) if limits.cpu is not None else "1"


def _toleration(said: dict[str, Any]) -> client.V1Toleration:
    names = {"tolerationSeconds": "toleration_seconds"}
    return client.V1Toleration(**{names.get(name, name): value for name, value in said.items()})
