"""What is handed to a cluster is held against the schemas of several releases of Kubernetes."""

import dataclasses
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import kubernetes_validate
import pytest
import yaml
from kubernetes import client

from serving.launchers.base import UNLIMITED, Limits
from serving.launchers.kubernetes_objects import APP, Manifests
from serving.launchers.kubernetes_pod_spec import PORT, Shape
from serving.launchers.kubernetes_settings import KubernetesSettings
from serving.metrics import LATENCY, WAITING_ROWS
from tests.support.data_plane import version
from tests.support.kubernetes.manifests import FOLDER, documents
from tests.support.prometheus import needed

RELEASES = ("1.25", "1.28", "1.31", "1.34", "1.37")
PLAIN: dict[str, Any] = {
    "artefacts": "claim:leadsman-artefacts",
    "image": "registry.example/r:{environment}",
}
EVERYTHING: dict[str, Any] = PLAIN | {
    "image_pull_secret": "registry", "labels": {"team": "fraud"},
    "annotations": {"sidecar.istio.io/inject": "false"}, "liveness": True,
    "service_account": "leadsman-replica", "node_selector": {"pool": "models"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "priority_class": "high", "runtime_class": "gvisor", "max_unavailable": "50%",
    "pod_name": "serving-0", "pod_uid": str(UUID(int=1)), "pod_namespace": "leadsman",
}  # fmt: skip


def made(tmp_path: Path, limits: Limits, settings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    manifests = Manifests(KubernetesSettings(**settings), "leadsman", "0" * 16, "1" * 12)
    shape = Shape(
        version(tmp_path, framework="python"), ("a", "b"), limits, "replica:1", 65534, "x"
    )
    objects = manifests.make(shape, 3)
    for one in (objects.deployment, objects.service, objects.budget):
        yield client.ApiClient().sanitize_for_serialization(one)


@pytest.mark.parametrize("release", RELEASES)
def test_every_manifest_is_valid(release: str) -> None:
    for document in documents():
        kubernetes_validate.validate(document, release, strict=True)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("settings", [PLAIN, EVERYTHING], ids=["plain", "everything"])
@pytest.mark.parametrize("limits", [UNLIMITED, Limits(cpu=1.5, memory_mb=512)], ids=str)
def test_every_object_of_a_version_is_valid(
    tmp_path: Path, limits: Limits, settings: dict[str, Any], release: str
) -> None:
    for document in made(tmp_path, limits, settings):
        kubernetes_validate.validate(document, release, strict=True)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kustomize_builds_what_is_tested_here() -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", FOLDER], capture_output=True, text=True, check=True, timeout=60
    )
    built = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    assert built == {(one["kind"], one["metadata"]["name"]): one for one in documents()}


def test_every_file_is_applied_or_said_not_to_be() -> None:
    listed = set(yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"])
    present = {path.name for path in FOLDER.glob("*.yaml")}
    assert present - listed == {"kustomization.yaml", "prometheus-adapter.yaml"}


def test_what_runs_may_do_nothing_that_it_need_not() -> None:
    pods = [
        one["spec"]["template"]["spec"] for one in documents() if "template" in one.get("spec", {})
    ]
    assert len(pods) == 3
    for pod in pods:
        assert pod["securityContext"]["runAsNonRoot"]
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


def test_a_replica_is_told_what_its_image_is_held_to(tmp_path: Path) -> None:
    manifests = Manifests(KubernetesSettings(**PLAIN), "leadsman", "0" * 16, "1" * 12)
    of = version(tmp_path, framework="python")
    stated = dataclasses.replace(of, manifest={"requirements": ["numpy==2"], "python": "3.12.1"})
    told: list[list[str]] = []
    for one in (of, stated):
        shape = Shape(one, (), UNLIMITED, "replica:1", 65534, "x")
        pod = manifests.make(shape, 1).deployment.spec.template.spec
        assert pod is not None
        told.append(pod.containers[0].args or [])
    # Of the Python what the image's name says: the newest of 3.12.
    assert told[1] == [*told[0], "--requires", '["numpy==2"]', "--python", "3.12"]


def policies() -> dict[str, dict[str, Any]]:
    """Network policies by the name of the pods that they are for."""
    return {
        one["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/name"]: one["spec"]
        for one in documents()
        if one["kind"] == "NetworkPolicy"
    }


def ports(rules: list[dict[str, Any]]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def test_every_pod_has_a_network_policy_and_every_policy_pods() -> None:
    templates = [
        one["spec"]["template"] for one in documents() if "template" in one.get("spec", {})
    ]
    named = {one["metadata"]["labels"]["app.kubernetes.io/name"] for one in templates}
    assert policies().keys() == named | {APP}
    assert all(one["policyTypes"] == ["Ingress", "Egress"] for one in policies().values())


def test_a_replica_is_spoken_to_by_serving_alone_and_speaks_to_nobody() -> None:
    of = policies()[APP]
    (rule,) = of["ingress"]
    serving = {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "leadsman-serving"}}}
    assert rule["from"] == [serving]
    assert ports([rule]) == {PORT}
    assert not of.get("egress")


def test_what_a_policy_lets_in_is_what_a_container_listens_to() -> None:
    for one in documents():
        if "template" in one.get("spec", {}):
            template = one["spec"]["template"]
            container = template["spec"]["containers"][0]
            listens = {port["containerPort"] for port in container.get("ports", ())}
            name = template["metadata"]["labels"]["app.kubernetes.io/name"]
            assert ports(policies()[name].get("ingress", [])) == listens


def test_all_three_reach_postgres_and_names_and_each_what_else_it_needs() -> None:
    serving, monitor, migrations = (
        ports(policies()[f"leadsman-{name}"]["egress"])
        for name in ("serving", "monitor", "migrations")
    )
    assert migrations == {5432, 53}
    assert serving == {5432, 53, PORT, 443, 6443}
    assert monitor == {5432, 53, 8000, 443, 465, 587, 9093}


def test_the_autoscaler_asks_for_what_the_adapter_gives() -> None:
    scaler = next(one for one in documents() if one["kind"] == "HorizontalPodAutoscaler")
    wanted = {one["pods"]["metric"]["name"] for one in scaler["spec"]["metrics"]}
    rules = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())
    assert wanted == {rule["name"]["as"] for rule in rules}


def test_what_the_adapter_asks_of_prometheus_are_answers_a_second_and_seconds_of_waiting(
    tmp_path: Path,
) -> None:
    needed("promtool")
    rules = yaml.safe_load((FOLDER / "prometheus-adapter.yaml").read_text())
    place = 'namespace="leadsman",pod="%s"'
    values = {
        # In ten seconds 3,000 answers of one version and 1,000 of another; 80 rows wait.
        f'{LATENCY.name}_count{{{place % "busy"},version="1"}}': "0+3000x30",
        f'{LATENCY.name}_count{{{place % "busy"},version="2"}}': "0+1000x30",
        f'{WAITING_ROWS.name}{{{place % "busy"},version="1"}}': "50x30",
        f'{WAITING_ROWS.name}{{{place % "busy"},version="2"}}': "30x30",
        # Nobody asks this one.
        f'{LATENCY.name}_count{{{place % "idle"},version="1"}}': "7x30",
        f'{WAITING_ROWS.name}{{{place % "idle"},version="1"}}': "0x30",
    }
    busy, idle = '{pod="busy"}', '{pod="idle"}'
    expected: dict[str, list[tuple[str, float]]] = {
        "leadsman_answers_per_second": [(busy, 400), (idle, 0)],
        "leadsman_queue_wait_seconds": [(busy, 80 / 400)],
    }
    asked: list[dict[str, Any]] = [
        {
            # As the adapter fills it in for the pods of the StatefulSet.
            "expr": rule["metricsQuery"]
            .replace("<<.GroupBy>>", "pod")
            .replace("<<.LabelMatchers>>", 'namespace="leadsman",pod=~"busy|idle"'),
            "eval_time": "4m",
            "exp_samples": [
                {"labels": labels, "value": value} for labels, value in expected[rule["name"]["as"]]
            ],
        }
        for rule in rules
    ]
    # What there is to ask of is found by this one.
    asked += [
        {"expr": f"count({rule['seriesQuery']}) > 0", "eval_time": "4m",
         "exp_samples": [{"labels": "{}", "value": 3}]}
        for rule in rules
    ]  # fmt: skip
    series = [{"series": name, "values": said} for name, said in values.items()]
    case = {"interval": "10s", "input_series": series, "promql_expr_test": asked}
    file = tmp_path / "case.yml"
    file.write_text(yaml.safe_dump({"tests": [case]}))
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_serving_is_set_up_for_the_cluster() -> None:
    serving = next(one for one in documents() if one["kind"] == "StatefulSet")
    named = {one["name"] for one in serving["spec"]["template"]["spec"]["containers"][0]["env"]}
    prefix = KubernetesSettings.model_config["env_prefix"]
    said = {name.removeprefix(prefix).lower() for name in named if name.startswith(prefix)}
    assert said <= KubernetesSettings.model_fields.keys()
    assert {"artefacts", "pod_name", "pod_uid", "pod_namespace"} <= said
