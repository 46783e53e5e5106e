"""The manifests of `deploy/kubernetes` as kustomize builds them, without it."""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "deploy/kubernetes"
NAMESPACE = "leadsman"
OLDER = {"policy/v1": "policy/v1beta1", "autoscaling/v2": "autoscaling/v2beta2"}
"""What a server of 1.20 knows in an earlier form; the fields that we use are the same."""


def documents() -> Iterator[dict[str, Any]]:
    """Every object, in the namespace and with the images that `kustomization.yaml` names."""
    told = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    images = {one["name"]: f"{one['newName']}:{one['newTag']}" for one in told["images"]}
    for name in told["resources"]:
        for one in yaml.safe_load_all((FOLDER / name).read_text()):
            if one["kind"] != "Namespace":
                one["metadata"]["namespace"] = told["namespace"]
            for subject in one.get("subjects", ()):
                subject["namespace"] = told["namespace"]
            template = one.get("spec", {}).get("template", {"spec": {"containers": []}})
            for container in template["spec"]["containers"]:
                container["image"] = images[container["image"]]
            yield one


@contextmanager
def applied(api: Any, objects: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    """Apply all on the server's side, twice; its answers. The namespace goes in the end."""
    from kubernetes.client.exceptions import ApiException
    from kubernetes.dynamic import DynamicClient

    dynamic, objects = DynamicClient(api), list(objects)
    namespaces = dynamic.resources.get(api_version="v1", kind="Namespace")
    until = time.monotonic() + 120
    # One that a test before has left goes when its pods have gone.
    while any(one.metadata.name == NAMESPACE for one in namespaces.get().items):
        assert time.monotonic() < until, "the namespace of a test before does not go"
        time.sleep(0.5)
    try:
        # As one who applies a folder again: what was told once is no conflict.
        yield [[_apply(dynamic, one) for one in objects] for _ in range(2)][1]
    finally:
        try:
            namespaces.delete(NAMESPACE, grace_period_seconds=0)
        except ApiException as error:
            if error.status != 404:
                raise


def _apply(dynamic: Any, one: dict[str, Any]) -> dict[str, Any]:
    one = one | {"apiVersion": OLDER.get(one["apiVersion"], one["apiVersion"])}
    kind = dynamic.resources.get(api_version=one["apiVersion"], kind=one["kind"])
    answer: dict[str, Any] = kind.server_side_apply(
        body=one, name=one["metadata"]["name"], namespace=one["metadata"].get("namespace"),
        field_manager="test", _request_timeout=20,
    ).to_dict()  # fmt: skip
    return answer
