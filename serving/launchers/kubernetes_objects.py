"""The objects of a version in a cluster, from values to typed objects.

A Deployment for each version and set of limits, whose number of pods is the number of replicas; a
headless Service for each version, so that its name stands for the addresses of all that are ready;
a PodDisruptionBudget, so that a drain of nodes leaves replicas. All belong to one serving process:
each of its replicas is its own to fill with batches.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from kubernetes import client

from serving.launchers.base import THREADS, Limits, model_options
from serving.launchers.kubernetes_settings import KubernetesSettings
from serving.records import Version

PREFIX = "leadsman.dev"
OWNER = f"{PREFIX}/owner"
"""Label: which serving process an object belongs to."""
LIFE = f"{PREFIX}/life"
"""Label: which life of that process made it."""
SERVICE = f"{PREFIX}/service"
"""Label: which version's Service a pod belongs to, by the Service's name."""
DEPLOYMENT = f"{PREFIX}/deployment"
"""Label: which Deployment a pod belongs to, by its name."""
APP = "leadsman-replica"
"""Value of `app.kubernetes.io/name`, by which the network policy knows replicas."""

PORT = 7700
"""Where replicas listen."""
LINGER = 30
"""Seconds after which a replica without a front ends by itself; its node starts it again."""
GRACE = 10
"""Seconds between the request to end and the end by force, where a pod is not ended by us: a batch
that is being computed is answered first. What hangs is held no longer than that."""
CONTAINER = "replica"
ARTEFACTS = "/artefacts"
NAME_LENGTH = 28
"""Characters of a version's name in the names of its objects, which have 63."""
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


@dataclass(frozen=True, slots=True)
class Objects:
    """What one version with one set of limits needs in the cluster."""

    deployment: client.V1Deployment
    service: client.V1Service
    budget: client.V1PodDisruptionBudget | None


class Manifests:
    """Makes the objects of one serving process.

    Parameters
    ----------
    owner, life
        Of everything that is made, as labels.
    """

    def __init__(self, settings: KubernetesSettings, namespace: str, owner: str, life: str) -> None:
        self._settings = settings
        self._namespace = namespace
        self._owner = owner
        self._life = life

    def service_name(self, shape: Shape) -> str:
        """Name of the version's Service and of its disruption budget."""
        return f"leadsman-{safe(shape.version.ref)}-{self._owner[:8]}"

    def deployment_name(self, shape: Shape) -> str:
        """Name of the Deployment: other limits have another, so that both can run in a change."""
        spec = _plain(self._pod_spec(shape))
        text = json.dumps([self._life, spec, shape.version.digest], sort_keys=True)
        return f"{self.service_name(shape)}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def make(self, shape: Shape, count: int) -> Objects:
        """Make everything for so many replicas."""
        return Objects(self._deployment(shape, count), self._service(shape), self._budget(shape))

    def _metadata(self, shape: Shape, name: str) -> client.V1ObjectMeta:
        return client.V1ObjectMeta(
            name=name,
            namespace=self._namespace,
            labels=self._labels(shape),
            annotations=_annotations(shape),
            owner_references=self._owner_references(),
        )

    def _labels(self, shape: Shape) -> dict[str, str]:
        return {
            **self._settings.labels,
            "app.kubernetes.io/name": APP,
            "app.kubernetes.io/managed-by": "leadsman",
            f"{PREFIX}/model": safe(shape.version.model),
            f"{PREFIX}/version": safe(shape.version.version),
            OWNER: self._owner,
            LIFE: self._life,
            SERVICE: self.service_name(shape),
        }

    def _owner_references(self) -> list[client.V1OwnerReference] | None:
        """With serving's pod everything goes that it started, also where it could not say so."""
        pod = self._settings
        if not (pod.pod_name and pod.pod_uid) or pod.pod_namespace != self._namespace:
            return None
        return [
            client.V1OwnerReference(
                api_version="v1", kind="Pod", name=pod.pod_name, uid=pod.pod_uid,
                controller=False, block_owner_deletion=False,
            )
        ]  # fmt: skip

    def _deployment(self, shape: Shape, count: int) -> client.V1Deployment:
        name = self.deployment_name(shape)
        template = client.V1PodTemplateSpec(
            metadata=client.V1ObjectMeta(
                labels={**self._labels(shape), DEPLOYMENT: name},
                annotations={**self._settings.annotations, **_annotations(shape)},
            ),
            spec=self._pod_spec(shape),
        )
        return client.V1Deployment(
            api_version="apps/v1",
            kind="Deployment",
            metadata=self._metadata(shape, name),
            spec=client.V1DeploymentSpec(
                replicas=count,
                revision_history_limit=1,
                selector=client.V1LabelSelector(match_labels={DEPLOYMENT: name}),
                # Only an edit from outside rolls it; what answers is not taken away for that.
                strategy=client.V1DeploymentStrategy(
                    type="RollingUpdate",
                    rolling_update=client.V1RollingUpdateDeployment(max_surge=1, max_unavailable=0),
                ),
                template=template,
            ),
        )

    def _service(self, shape: Shape) -> client.V1Service:
        name = self.service_name(shape)
        return client.V1Service(
            api_version="v1",
            kind="Service",
            metadata=self._metadata(shape, name),
            spec=client.V1ServiceSpec(
                cluster_ip="None",
                selector={SERVICE: name},
                ports=[
                    client.V1ServicePort(
                        name="frames", port=PORT, protocol="TCP", target_port="frames"
                    )
                ],
            ),
        )

    def _budget(self, shape: Shape) -> client.V1PodDisruptionBudget | None:
        most = self._settings.max_unavailable
        if most == "none":
            return None
        name = self.service_name(shape)
        return client.V1PodDisruptionBudget(
            api_version="policy/v1",
            kind="PodDisruptionBudget",
            metadata=self._metadata(shape, name),
            spec=client.V1PodDisruptionBudgetSpec(
                max_unavailable=int(most) if most.isdigit() else most,
                selector=client.V1LabelSelector(match_labels={SERVICE: name}),
            ),
        )

    def _pod_spec(self, shape: Shape) -> client.V1PodSpec:
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


def safe(text: str) -> str:
    """A name that names of objects and values of labels may have."""
    cleaned = "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower()).strip("-")
    if cleaned == text and len(cleaned) <= NAME_LENGTH:
        return cleaned
    # Two names that differ in what was replaced must not become one.
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{cleaned[: NAME_LENGTH - 7].strip('-')}-{digest}".lstrip("-")


def processors(cpu: float) -> str:
    """Processors as the API server writes them."""
    milli = max(1, round(cpu * MILLI))
    return str(milli // MILLI) if milli % MILLI == 0 else f"{milli}m"


def _annotations(shape: Shape) -> dict[str, str]:
    return {
        f"{PREFIX}/version-ref": shape.version.ref,
        f"{PREFIX}/digest": shape.version.digest,
    }


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
    if python := version.manifest.get("python"):
        options += ["--python", str(python)]
    return options


def _threads(limits: Limits) -> str:
    return str(math.ceil(limits.cpu)) if limits.cpu is not None else "1"


def _toleration(said: dict[str, Any]) -> client.V1Toleration:
    names = {"tolerationSeconds": "toleration_seconds"}
    return client.V1Toleration(**{names.get(name, name): value for name, value in said.items()})


def _plain(built: Any) -> Any:
    return client.ApiClient().sanitize_for_serialization(built)
