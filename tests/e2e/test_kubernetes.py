"""`deploy/kubernetes` as an operator applies it, with its pods run on one node."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from leadsman.embedded_postgres import EmbeddedPostgres
from tests.support.kubernetes.manifests import NAMESPACE, applied, documents
from tests.support.postgres import execute, fetch
from tests.support.serving import ADMIN_KEY, single

if TYPE_CHECKING:
    from tests.support.kubernetes.control_plane import ControlPlane
    from tests.support.kubernetes.node import Node

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(600)]

SERVING, MONITOR = "10.96.0.80", "10.96.0.81"
"""Addresses of the two Services: the cluster has no names of its own."""
NOBODY = 65534
ROWS = 64
MODEL = b"def answer(rows):\n    return (rows[:, 0] > 0).astype(int)\n"
URL = "/v1/applications/payments"


@pytest.fixture(scope="module")
def postgres(node: "Node", tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a server outside of the cluster, as pods reach it."""
    from tests.support.kubernetes.control_plane import OF_PODS

    folder = tmp_path_factory.mktemp("postgres")
    server = EmbeddedPostgres(folder, options={"listen_addresses": f"127.0.0.1,{OF_PODS}"})
    url = server.start()
    try:
        with (folder / "cluster/pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {OF_PODS}/24 scram-sha-256\n")
        execute(url, "SELECT pg_reload_conf()")
        yield url.replace("127.0.0.1", OF_PODS)
    finally:
        server.stop()


def as_here(one: dict[str, Any]) -> dict[str, Any]:
    """A manifest with what this cluster lacks: names, and a processor for each pod."""
    name = one["metadata"]["name"]
    if one["kind"] == "Service" and name == "leadsman-serving":
        one["spec"]["clusterIP"] = SERVING
    if one["kind"] == "Service" and name == "leadsman-monitor":
        one["spec"]["clusterIP"] = MONITOR
    if "template" in one.get("spec", {}):
        pod = one["spec"]["template"]["spec"]
        pod["hostAliases"] = [{"ip": SERVING, "hostnames": ["leadsman-serving"]}]
        (container,) = pod["containers"]
        container["resources"]["requests"]["cpu"] = "100m"
        for variable in container["env"]:
            if variable["name"] == "SERVING_KUBERNETES_IMAGE":
                variable["value"] = "leadsman-replica:{environment}"
    return one


@dataclass(frozen=True)
class Running:
    """The service in the cluster."""

    core: Any
    serving: httpx.Client
    monitor: httpx.Client
    database: str

    def pods(self, name: str) -> list[Any]:
        """Pods by what they are."""
        found: list[Any] = self.core.list_namespaced_pod(
            NAMESPACE, label_selector=f"app.kubernetes.io/name={name}", _request_timeout=10
        ).items
        return found

    def ready(self, name: str) -> set[str]:
        """Those of them that take requests and stay, by their unique ids."""
        return {
            pod.metadata.uid
            for pod in self.pods(name)
            if pod.metadata.deletion_timestamp is None
            for condition in pod.status.conditions or ()
            if condition.type == "Ready" and condition.status == "True"
        }

    def wait(self, what: str, met: Callable[[], Any], within: float = 180) -> None:
        """Wait for something, and tell how the pods are where it does not come."""
        until = time.monotonic() + within
        while not met():
            assert time.monotonic() < until, f"{what}: {self._told()}"
            time.sleep(0.5)

    def _told(self) -> str:
        lines = []
        for pod in self.core.list_namespaced_pod(NAMESPACE, _request_timeout=10).items:
            states = [one.state.to_dict() for one in pod.status.container_statuses or ()]
            lines.append(f"{pod.metadata.name} {pod.status.phase} {states}")
        events = self.core.list_namespaced_event(NAMESPACE, _request_timeout=10).items
        lines += [f"{one.involved_object.name}: {one.message}" for one in events[-30:]]
        return "\n".join(lines)


def beside(postgres: str, folder: Path) -> Iterator[dict[str, Any]]:
    """What an operator makes first: two Secrets, and volumes for the claims."""
    for name, data in (("database", {"url": postgres}), ("key", {"key": ADMIN_KEY})):
        metadata = {"name": f"leadsman-{name}", "namespace": NAMESPACE}
        yield {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    for claim, mode in (
        ("leadsman-artefacts", "ReadWriteMany"),
        ("journal-leadsman-serving-0", "ReadWriteOnce"),
        ("journal-leadsman-serving-1", "ReadWriteOnce"),
    ):
        place = folder / claim
        place.mkdir(parents=True)
        os.chown(place, NOBODY, NOBODY)
        yield {
            "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim},
            "spec": {
                "accessModes": [mode], "capacity": {"storage": "20Gi"},
                "claimRef": {"namespace": NAMESPACE, "name": claim},
                "hostPath": {"path": str(place)}, "persistentVolumeReclaimPolicy": "Retain",
            },
        }  # fmt: skip


@pytest.fixture(scope="module")
def running(control_plane: "ControlPlane", node: "Node", postgres: str) -> Iterator[Running]:
    """Everything of the folder, applied."""
    from kubernetes import client

    from tests.support.kubernetes.service_routes import service_routes

    node.build_ours()
    api = control_plane.api()
    namespace, *rest = map(as_here, documents())
    objects = [namespace, *beside(postgres, control_plane.folder / "volumes"), *rest]
    # Each request by a connection of its own: it comes to whoever answers now.
    how: dict[str, Any] = {
        "headers": {"Authorization": f"Bearer {ADMIN_KEY}"}, "timeout": 120,
        "limits": httpx.Limits(max_keepalive_connections=0),
    }  # fmt: skip
    with (
        service_routes(control_plane),
        applied(api, objects),
        httpx.Client(base_url=f"http://{SERVING}:8000", **how) as serving,
        httpx.Client(base_url=f"http://{MONITOR}:8001", **how) as monitor,
    ):
        yield Running(client.CoreV1Api(api), serving, monitor, postgres)


def predict(client: httpx.Client) -> list[dict[str, Any]]:
    """Answers to a batch, half of them of either class."""
    inputs = [{"a": 1.0 if n % 2 else -1.0} for n in range(ROWS)]
    response = client.post(f"{URL}/predictions", json={"inputs": inputs})
    assert response.status_code == 200, response.text
    found: list[dict[str, Any]] = response.json()["predictions"]
    assert [one["output"] for one in found] == [n % 2 for n in range(ROWS)], found[0]
    return found


def test_the_service_runs_as_pods_answers_is_watched_and_loses_nothing_with_a_pod(
    running: Running,
) -> None:
    running.wait(
        "migrations have run",
        lambda: [one.status.phase for one in running.pods("leadsman-migrations")] == ["Succeeded"],
    )
    running.wait("serving is ready", lambda: len(running.ready("leadsman-serving")) == 2)
    running.wait("the monitor is ready", lambda: len(running.ready("leadsman-monitor")) == 2)

    client = running.serving
    manifest = '{"version": "1", "framework": "python", "entry": "m:answer"}'
    files = {"artefact": ("m.py", MODEL)}
    made = client.post("/v1/models/m/versions", data={"manifest": manifest}, files=files)
    assert made.status_code == 201, made.text
    application = {
        "name": "payments", "task": "binary", "default_output": -1, "latency_objective_ms": 10_000,
        "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}},
    }  # fmt: skip
    assert client.post("/v1/applications", json=application).status_code == 201
    routed = client.put(f"{URL}/route", json=single("m:1"))
    assert routed.status_code == 200, routed.text
    # Each of the two has a replica of its own, a pod.
    running.wait("replicas are there", lambda: len(running.ready("leadsman-replica")) == 2)
    answers = predict(client)
    labels = [{"prediction_id": one["id"], "label": one["output"]} for one in answers]
    assert client.post("/v1/feedback", json={"feedback": labels}).json()["accepted"] == ROWS

    def watched() -> bool:
        health = running.monitor.get(f"{URL}/health").json()
        seen = [one["observations"] for one in health.get("watches", ())]
        return health.get("behind") == 0 and max(seen, default=0) >= ROWS

    running.wait("the monitor has read all of it", watched)

    # A pod that is killed takes along neither what it answered nor what the other one answers.
    ids = {one["id"] for one in answers}
    for _ in range(20):
        ids |= {one["id"] for one in predict(client)}
    before = running.ready("leadsman-serving")
    running.core.delete_namespaced_pod("leadsman-serving-0", NAMESPACE, grace_period_seconds=0)
    running.wait("its successor is ready", lambda: is_whole(running, before))
    running.wait("it has a replica", lambda: len(running.ready("leadsman-replica")) == 2)
    ids |= {one["id"] for one in predict(client)}
    running.wait("all are in Postgres", lambda: recorded(running.database) >= ids)


def is_whole(running: Running, before: set[str]) -> bool:
    """Whether one of serving's two pods has been followed by another."""
    now = running.ready("leadsman-serving")
    return len(now) == 2 and len(now - before) == 1


def recorded(database: str) -> set[str]:
    """Predictions in the record."""
    return {str(row["id"]) for row in fetch(database, "SELECT id FROM predictions")}


def test_a_drain_takes_one_pod_at_a_time(running: Running) -> None:
    from kubernetes.client.exceptions import ApiException
    from kubernetes.dynamic import DynamicClient

    before = running.ready("leadsman-serving")
    dynamic = DynamicClient(running.core.api_client)

    def evict(name: str) -> None:
        metadata = {"name": name, "namespace": NAMESPACE}
        body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": metadata}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
        dynamic.request("POST", path, body=body)

    evict("leadsman-serving-1")
    with pytest.raises(ApiException, match="disruption budget") as refused:
        evict("leadsman-serving-0")
    assert refused.value.status == 429
    running.wait("its successor is ready", lambda: is_whole(running, before))
    predict(running.serving)
