"""A namespace in which serving's account may do what its manifest says, and nothing more."""

from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, utils

from tests.support.kubernetes.control_plane import ControlPlane, wait_for

RBAC = Path(__file__).parents[3] / "deploy/kubernetes/serving-rbac.yaml"
ACCOUNT = "leadsman-serving"


def make_namespace(plane: ControlPlane, name: str) -> None:
    """Make a namespace that pods can be made in."""
    api = plane.api()
    core = client.CoreV1Api(api)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))

    def has_account() -> bool:
        found = core.list_namespaced_service_account(name).items
        return any(
            one.metadata is not None and one.metadata.name == "default" and one.secrets
            for one in found
        )

    wait_for("the namespace has its default account", has_account)


def kubeconfig_of_serving(plane: ControlPlane, namespace: str) -> Path:
    """A file by which serving's own account reaches the cluster."""
    api = plane.api()
    documents: list[dict[str, Any]] = list(yaml.safe_load_all(RBAC.read_text()))
    for one in documents:
        utils.create_from_dict(api, one, namespace=namespace)
    asked = client.AuthenticationV1TokenRequest(
        spec=client.V1TokenRequestSpec(audiences=["https://kubernetes.test"])
    )
    token = client.CoreV1Api(api).create_namespaced_service_account_token(ACCOUNT, namespace, asked)
    assert token.status is not None
    return plane.write_kubeconfig(f"{ACCOUNT}-{namespace}", str(token.status.token), namespace)
