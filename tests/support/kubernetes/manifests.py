"""The manifests of `deploy/kubernetes` as kustomize builds them, without it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parents[3] / "deploy/kubernetes"


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
