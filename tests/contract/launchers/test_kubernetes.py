"""What pods promise beyond the contract, on a real control plane and a node."""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from serving.batching import BatchQueue, State
from serving.errors import VersionFailedToStartError
from serving.launchers.base import LauncherUnavailableError
from serving.launchers.environments import environment_of
from tests.contract.launchers import models
from tests.contract.launchers.launching import ended, launcher_of, running
from tests.support.data_plane import python_version
from tests.support.kubernetes.fixtures import NAMESPACE, VARIABLES
from tests.support.registry import registry

if TYPE_CHECKING:
    from serving.launchers.kubernetes import KubernetesLauncher
    from tests.support.kubernetes.control_plane import ControlPlane
    from tests.support.kubernetes.node import Node

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(300), pytest.mark.usefixtures("node")]
START = timedelta(seconds=60)


@pytest.fixture
def launcher(tmp_path: Path) -> "KubernetesLauncher":
    return launcher_of("kubernetes", tmp_path / "replicas")  # type: ignore[return-value]


async def met(look: Callable[[], Any], within: float = 30) -> None:
    until = time.monotonic() + within
    while not await asyncio.to_thread(look):
        assert time.monotonic() < until, "it did not come to that"
        await asyncio.sleep(0.2)


def test_what_somebody_edits_or_deletes_is_put_right_while_the_replica_answers(
    control_plane: "ControlPlane", launcher: "KubernetesLauncher", tmp_path: Path
) -> None:
    from kubernetes import client

    api = control_plane.api()
    # Their types know less than their answers hold.
    apps: Any = client.AppsV1Api(api)
    core: Any = client.CoreV1Api(api)

    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.SUMS)) as talk:
            assert await talk.greet() is not None
            group = talk.replica.group  # type: ignore[attr-defined]
            meant = apps.read_namespaced_deployment(group.name, NAMESPACE)
            image = meant.spec.template.spec.containers[0].image
            edit = {"containers": [{"name": "replica", "image": "somebody/else:1"}]}
            patch = {"spec": {"replicas": 3, "template": {"spec": edit}}}
            apps.patch_namespaced_deployment(group.name, NAMESPACE, patch)
            core.delete_namespaced_service(group.service, NAMESPACE, _preload_content=False)

            def is_right() -> bool:
                now = apps.read_namespaced_deployment(group.name, NAMESPACE)
                services = core.list_namespaced_service(NAMESPACE).items
                return (
                    now.spec.replicas == 1
                    and now.spec.template.spec.containers[0].image == image
                    and group.service in [one.metadata.name for one in services]
                )

            await met(is_right)
            assert await talk.ask(1.0, 2.0) == b"3.0"
            apps.delete_namespaced_deployment(
                group.name, NAMESPACE, propagation_policy="Orphan", _preload_content=False
            )
            await met(
                lambda: (
                    group.name
                    in [
                        one.metadata.name
                        for one in apps.list_namespaced_deployment(NAMESPACE).items
                    ]
                )
            )
            # The new one takes the pod that is there for its own.
            await asyncio.sleep(2)
            assert await talk.ask(1.0, 2.0) == b"3.0"
            assert await talk.replica.poll() is None

    asyncio.run(run())


def test_an_api_server_that_goes_away_leaves_replicas_answering_and_refuses_changes(
    control_plane: "ControlPlane", launcher: "KubernetesLauncher", tmp_path: Path
) -> None:
    from serving.launchers.cluster import DEPLOYMENTS

    async def run() -> None:
        of = python_version(tmp_path, models.SUMS)
        queue = BatchQueue(of, launcher, features=("a",))
        await queue.start(START)
        control_plane.stop_api_server()
        try:
            answer = await queue.submit(bytes(8), asyncio.get_running_loop().time() + 10)
            assert answer.output == b"0.0"
            with pytest.raises(LauncherUnavailableError, match=r"API server at https://127\.0"):
                await launcher.start(of, python=None, features=("a",))
            with pytest.raises(LauncherUnavailableError):
                await launcher.find()
            other = BatchQueue(
                python_version(tmp_path, models.SUMS, name="m:2"), launcher, features=("a",)
            )
            with pytest.raises(VersionFailedToStartError, match="expected the Kubernetes API"):
                await other.start(START)
            assert queue.state == State.READY
            assert queue.restarts == 0
            answer = await queue.submit(bytes(8), asyncio.get_running_loop().time() + 10)
            assert answer.output == b"0.0"
        finally:
            control_plane.start_api_server()
        await queue.stop()
        assert not launcher.cluster.find(DEPLOYMENTS, {})

    asyncio.run(run())


@pytest.mark.parametrize("how", ["deleted", "evicted"])
def test_a_pod_that_somebody_takes_away_is_an_end_that_is_told(
    control_plane: "ControlPlane", launcher: "KubernetesLauncher", tmp_path: Path, how: str
) -> None:
    from kubernetes import client
    from kubernetes.dynamic import DynamicClient

    async def run() -> None:
        async with running(launcher, python_version(tmp_path, models.SUMS)) as talk:
            assert await talk.greet() is not None
            name = talk.replica.name.removeprefix("pod ")
            api = control_plane.api()
            if how == "deleted":
                client.CoreV1Api(api).delete_namespaced_pod(name, NAMESPACE)
            else:
                # As a drain does it, in the form of this release.
                metadata = {"name": name, "namespace": NAMESPACE}
                body = {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": metadata}
                path = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/eviction"
                DynamicClient(api).request("POST", path, body=body)
            assert await ended(talk.replica, 20) != 0
            assert "(Its pod was deleted.)" in talk.replica.last_words()

    asyncio.run(run())


def test_an_image_that_cannot_be_pulled_is_said_within_seconds_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody listens there.
    monkeypatch.setenv(f"{VARIABLES}IMAGE", "127.0.0.1:1/replica:{environment}")
    nowhere = launcher_of("kubernetes", tmp_path / "replicas")

    async def run() -> str:
        of = python_version(tmp_path, models.SUMS)
        begun = time.monotonic()
        queue = BatchQueue(of, nowhere, features=("a",))
        with pytest.raises(VersionFailedToStartError) as told:
            await queue.start(START)
        assert time.monotonic() - begun < 45
        return str(told.value) + told.value.last_words

    words = asyncio.run(run())
    assert "ImagePullBackOff" in words
    assert "ErrImagePull" in words
    assert "127.0.0.1:1/replica:" in words


def test_an_image_is_pulled_from_the_registry_that_it_was_pushed_to(
    node: "Node", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = python_version(tmp_path, models.SUMS)
    with registry(tmp_path) as address:
        node.push(environment_of(of, "python:{python}-slim").image, address)
        monkeypatch.setenv(f"{VARIABLES}IMAGE", f"{address}/leadsman-replica:{{environment}}")
        launcher = launcher_of("kubernetes", tmp_path / "replicas")

        async def run() -> None:
            async with running(launcher, of) as talk:
                assert await talk.greet() is not None
                assert await talk.ask(1.0, 2.0) == b"3.0"

        asyncio.run(run())


def test_an_image_without_what_the_version_requires_is_said_with_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = python_version(tmp_path, models.SUMS)
    base = "python:{python}-slim"
    # One image for all, as an operator may say.
    monkeypatch.setenv(f"{VARIABLES}IMAGE", environment_of(of, base).image)
    launcher = launcher_of("kubernetes", tmp_path / "replicas")
    of = dataclasses.replace(of, manifest=of.manifest | {"requirements": ["numpy==1.0.0"]})

    async def run() -> None:
        async with running(launcher, of) as talk:
            assert await talk.greet() is None
            assert await ended(talk.replica) == 1
            await talk.replica.stop(timedelta(0))
            words = talk.replica.last_words()
            assert "the version requires numpy==1.0.0 and this environment has numpy " in words

    asyncio.run(run())


@contextmanager
def quota(control_plane: "ControlPlane", most: str) -> Iterator[None]:
    from kubernetes import client

    core = client.CoreV1Api(control_plane.api())
    body = client.V1ResourceQuota(
        metadata=client.V1ObjectMeta(name="few"),
        spec=client.V1ResourceQuotaSpec(hard={"pods": most}),
    )
    core.create_namespaced_resource_quota(NAMESPACE, body)
    try:
        yield
    finally:
        core.delete_namespaced_resource_quota("few", NAMESPACE)


def test_a_quota_that_is_used_up_is_said_in_the_clusters_words(
    control_plane: "ControlPlane", launcher: "KubernetesLauncher", tmp_path: Path
) -> None:
    async def run() -> None:
        with quota(control_plane, "0"):
            async with running(launcher, python_version(tmp_path, models.SUMS)) as talk:
                assert await talk.greet() is None
                assert await ended(talk.replica) != 0
                await talk.replica.stop(timedelta(0))
                assert "exceeded quota: few" in talk.replica.last_words()

    asyncio.run(run())
