"""`deploy/kubernetes` and a real API server: what it admits, what serving's account may do."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.kubernetes.fixtures import NAMESPACE
from tests.support.kubernetes.manifests import applied, documents

if TYPE_CHECKING:
    from tests.support.kubernetes.control_plane import ControlPlane

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(180)]
MAY = {
    "apps/deployments": {"get", "list", "create", "update", "patch", "delete"},
    "services": {"get", "list", "create", "update", "delete"},
    "policy/poddisruptionbudgets": {"get", "list", "create", "update", "delete"},
    "pods": {"list", "delete"},
    "pods/log": {"get"},
}
"""All that serving's account may do, in its own namespace."""
EVERYBODY = {
    "authorization.k8s.io/selfsubjectaccessreviews": {"create"},
    "authorization.k8s.io/selfsubjectrulesreviews": {"create"},
}
"""What the server lets everybody do: ask what one may do oneself."""


def test_a_server_takes_every_manifest_and_its_controllers_make_pods_of_them(
    control_plane: "ControlPlane",
) -> None:
    from kubernetes import client

    core: Any = client.CoreV1Api(control_plane.api())
    with applied(control_plane.api(), documents()) as answers:
        assert [(one["kind"], one["metadata"]["name"]) for one in answers] == [
            (one["kind"], one["metadata"]["name"]) for one in documents()
        ]
        wanted_pods = {"leadsman-serving": 2, "leadsman-monitor": 2, "leadsman-migrations": 1}
        until = time.monotonic() + 60
        while True:
            found: dict[str, int] = dict.fromkeys(wanted_pods, 0)
            for one in core.list_namespaced_pod("leadsman", _request_timeout=10).items:
                found[one.metadata.labels["app.kubernetes.io/name"]] += 1
            if found == wanted_pods:
                break
            assert time.monotonic() < until, found
            time.sleep(0.3)
        claims = core.list_namespaced_persistent_volume_claim("leadsman", _request_timeout=10).items
        assert {one.metadata.name for one in claims} == {
            "leadsman-artefacts", "journal-leadsman-serving-0", "journal-leadsman-serving-1",
        }  # fmt: skip


def test_servings_account_may_do_what_the_launcher_does_and_nothing_else(
    control_plane: "ControlPlane",
) -> None:
    """Every verb on every resource that the server has, asked of its authoriser."""
    from kubernetes import client

    api = control_plane.api()
    reviews: Any = client.AuthorizationV1Api(api)
    allowed: dict[str, dict[str, set[str]]] = {NAMESPACE: {}, "kube-system": {}, "": {}}
    for group, resource, verbs in _resources(api):
        for namespace, found in allowed.items():
            for verb in verbs:
                if _may(reviews, namespace, group, resource, verb):
                    name = f"{group}/{resource}" if group else resource
                    found.setdefault(name, set()).add(verb)
    assert allowed == {NAMESPACE: MAY | EVERYBODY, "kube-system": EVERYBODY, "": EVERYBODY}


def _resources(api: Any) -> Iterator[tuple[str, str, list[str]]]:
    """Group, resource and verbs of all that a server has, with what lies below pods and tokens."""

    from kubernetes.dynamic import DynamicClient

    dynamic = DynamicClient(api)

    def ask(path: str) -> Any:
        return dynamic.request("GET", path, _request_timeout=10, serializer=lambda _, said: said)

    groups = ["api/v1"]
    groups += [f"apis/{one['preferredVersion']['groupVersion']}" for one in ask("/apis/")["groups"]]
    for path in groups:
        group = "" if path == "api/v1" else path.split("/")[1]
        for one in ask(f"/{path}")["resources"]:
            yield group, one["name"], [*one["verbs"], "deletecollection", "impersonate"]


def _may(reviews: Any, namespace: str, group: str, resource: str, verb: str) -> bool:
    from kubernetes import client

    name, _, below = resource.partition("/")
    asked = client.V1SubjectAccessReview(
        spec=client.V1SubjectAccessReviewSpec(
            user=f"system:serviceaccount:{NAMESPACE}:leadsman-serving",
            groups=["system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}",
                    "system:authenticated"],
            resource_attributes=client.V1ResourceAttributes(
                namespace=namespace, group=group, resource=name, subresource=below, verb=verb
            ),
        )
    )  # fmt: skip
    return bool(reviews.create_subject_access_review(asked, _request_timeout=10).status.allowed)
