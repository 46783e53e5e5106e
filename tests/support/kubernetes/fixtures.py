"""A cluster for a test session, and one node of it."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.kubernetes.control_plane import ControlPlane
    from tests.support.kubernetes.node import Node

NAMESPACE = "models"
VARIABLES = "SERVING_KUBERNETES_"


@pytest.fixture(scope="session")
def control_plane() -> Iterator["ControlPlane"]:
    """etcd, API server, controllers and scheduler; a namespace for serving's own account."""
    from tests.support.kubernetes.account import kubeconfig_of_serving, make_namespace
    from tests.support.kubernetes.control_plane import ControlPlane, missing

    if reason := missing():
        pytest.skip(f"no Kubernetes control plane: {reason}")
    # Not among the folders that pytest clears away: a node mounts into it.
    folder = Path(tempfile.mkdtemp(prefix="leadsman-cluster-"))
    plane = ControlPlane(folder)
    with pytest.MonkeyPatch.context() as patch:
        try:
            plane.start()
            make_namespace(plane, NAMESPACE)
            of_serving = kubeconfig_of_serving(plane, NAMESPACE)
            # As a serving process in a container reads them, and its children.
            patch.setenv(f"{VARIABLES}KUBECONFIG", str(of_serving))
            # The node's engine has it; there is no registry.
            patch.setenv(f"{VARIABLES}IMAGE", "leadsman-replica:{environment}")
            # With a tenth, the default, a busy machine gives a pod a tenth of what others get: it
            # takes a minute until numpy is imported.
            patch.setenv(f"{VARIABLES}CPU_REQUEST", "0.4")
            patch.setenv(f"{VARIABLES}PROBE_PERIOD", "2")
            patch.setenv(f"{VARIABLES}RECONCILE_INTERVAL", "1")
            yield plane
        finally:
            plane.stop()
            if not os.environ.get("LEADSMAN_KEEP_CLUSTER"):
                shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def node(control_plane: "ControlPlane") -> Iterator["Node"]:
    """A node that runs pods, with the images of the contract's models."""
    from serving.launchers.environments import environment_of
    from tests.support.data_plane import version
    from tests.support.kubernetes.node import Node, missing_for_node

    if reason := missing_for_node():
        pytest.skip(f"no Kubernetes node: {reason}")
    node = Node(control_plane)
    try:
        node.start()
        for framework in ("python", "sklearn"):
            of = version(control_plane.folder, framework=framework)
            base = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
            node.build(environment_of(of, base))
        yield node
    finally:
        node.stop()
