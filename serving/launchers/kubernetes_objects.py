"""The objects of a version in a cluster, from values to typed objects.

A Deployment for each version and set of limits, whose number of pods is the number of replicas; a
headless Service for each version, so that its name stands for the addresses of all that are ready;
a PodDisruptionBudget, so that a drain of nodes leaves replicas. All belong to one serving process:
each of its replicas is its own to fill with batches.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from kubernetes import client

from serving.launchers.kubernetes_pod_spec import PORT, PodSpecs, Shape
from serving.launchers.kubernetes_settings import KubernetesSettings

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

NAME_LENGTH = 28
"""Characters of a version's name in the names of its objects, which have 63."""


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
        self._pods = PodSpecs(settings)
        self._namespace = namespace
        self._owner = owner
        self._life = life

    def service_name(self, shape: Shape) -> str:
        """Name of the version's Service and of its disruption budget."""
        return f"leadsman-{safe(shape.version.ref)}-{self._owner[:8]}"

    def deployment_name(self, shape: Shape) -> str:
        """Name of the Deployment: other limits have another, so that both can run in a change."""
        spec = _plain(self._pods.make(shape))
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
            spec=self._pods.make(shape),
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


def safe(text: str) -> str:
    """A name that names of objects and values of labels may have."""
    cleaned = "".join(c if c.isascii() and c.isalnum() else "-" for c in text.lower()).strip("-")
    if cleaned == text and len(cleaned) <= NAME_LENGTH:
        return cleaned
    # Two names that differ in what was replaced must not become one.
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{cleaned[: NAME_LENGTH - 7].strip('-')}-{digest}".lstrip("-")


def _annotations(shape: Shape) -> dict[str, str]:
    return {
        f"{PREFIX}/version-ref": shape.version.ref,
        f"{PREFIX}/digest": shape.version.digest,
    }


def _plain(built: Any) -> Any:
    return client.ApiClient().sanitize_for_serialization(built)
