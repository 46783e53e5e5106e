"""What the launcher asks of an API server, which here is a stand-in on loopback."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from serving.launchers import cluster
from serving.launchers.base import LAST_WORDS_BYTES, LauncherUnavailableError
from serving.launchers.kubernetes import KubernetesLauncher
from serving.launchers.kubernetes_pods import NOT_STARTED
from serving.launchers.kubernetes_replica import KILL_GRACE, KubernetesReplica
from serving.launchers.kubernetes_settings import KubernetesSettings
from serving.records import Version
from tests.contract.launchers import models
from tests.support.data_plane import python_version
from tests.support.kubernetes.stand_in import StandIn, serving_at

RUNS = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
EDITS: dict[str, tuple[str, dict[str, Any]]] = {
    "more pods": ("deployments", {"spec": {"replicas": 5}}),
    "another service": ("services", {"spec": {"selector": {"app": "other"}}}),
    "a budget that lets all go": ("poddisruptionbudgets", {"spec": {"maxUnavailable": "100%"}}),
    "a lost label": ("deployments", {"metadata": {"labels": {"leadsman.dev/model": None}}}),
    "a limit that was not asked for": (
        "deployments", {"spec": {"template": {"spec": {"nodeSelector": {"pool": "slow"}}}}}
    ),
}  # fmt: skip


@pytest.fixture
def api() -> Iterator[StandIn]:
    with serving_at(StandIn()) as stand_in:
        yield stand_in


@pytest.fixture
def of(tmp_path: Path) -> Version:
    return python_version(tmp_path, models.SUMS)


def launcher_at(api: StandIn, tmp_path: Path, **more: Any) -> KubernetesLauncher:
    settings = KubernetesSettings(
        artefacts=f"host:{tmp_path}", image="registry.example/replica:{environment}",
        kubeconfig=api.kubeconfig(tmp_path / "kubeconfig"), namespace="models", **more,
    )  # fmt: skip
    return KubernetesLauncher(tmp_path / "replicas", settings, tmp_path)


async def start(launcher: KubernetesLauncher, of: Version) -> KubernetesReplica:
    return await launcher.start(of, python=None, features=("a",))


async def met(look: Callable[[], bool]) -> None:
    until = time.monotonic() + 10
    while not look():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("name", EDITS)
def test_what_somebody_edits_is_put_right_and_told(
    api: StandIn, tmp_path: Path, of: Version, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        launcher = launcher_at(api, tmp_path)
        await start(launcher, of)
        kind, change = EDITS[name]
        before = api.only(kind)
        api.edit(kind, change)
        assert api.only(kind) != before
        launcher.put_right()
        after = api.only(kind)
        assert after["spec"] == before["spec"]
        assert after["metadata"]["labels"] == before["metadata"]["labels"]
        asked = len(api.asked)
        launcher.put_right()
        assert len(api.asked) == asked

    with caplog.at_level(logging.WARNING):
        asyncio.run(run())
    assert "drift_repaired" in caplog.text


@pytest.mark.parametrize("kind", ["deployments", "services", "poddisruptionbudgets"])
def test_what_somebody_deletes_is_made_again(
    api: StandIn, tmp_path: Path, of: Version, kind: str
) -> None:
    async def run() -> None:
        launcher = launcher_at(api, tmp_path)
        await start(launcher, of)
        name = api.only(kind)["metadata"]["name"]
        api.delete(kind, name)
        launcher.put_right()
        assert api.only(kind)["metadata"]["name"] == name

    asyncio.run(run())


def test_what_is_put_right_goes_on_by_itself(api: StandIn, tmp_path: Path, of: Version) -> None:
    async def run() -> None:
        launcher = launcher_at(api, tmp_path, reconcile_interval=0.05)
        await start(launcher, of)
        api.delete("services", api.only("services")["metadata"]["name"])

        await met(lambda: bool(api.of_kind("services")))

    asyncio.run(run())


def test_additions_of_others_are_left_alone(api: StandIn, tmp_path: Path, of: Version) -> None:
    async def run() -> None:
        launcher = launcher_at(api, tmp_path)
        await start(launcher, of)
        api.edit("services", {"metadata": {"annotations": {"mesh": "in"}}, "spec": {"type": "X"}})
        asked = len(api.asked)
        launcher.put_right()
        assert len(api.asked) == asked

    asyncio.run(run())


def test_a_server_that_is_away_ends_no_replica_and_refuses_changes_by_its_address(
    tmp_path: Path, of: Version
) -> None:
    async def run() -> None:
        api = StandIn()
        with serving_at(api):
            launcher = launcher_at(api, tmp_path, reconcile_interval=0.05)
            replica = await start(launcher, of)
            api.status(**RUNS)
            assert await replica.address() == "tcp://127.0.0.1:7700"
            await asyncio.sleep(0.3)
        assert await replica.poll() is None
        with pytest.raises(LauncherUnavailableError, match=f"http://127.0.0.1:{api.port}"):
            await start(launcher, of)
        with pytest.raises(LauncherUnavailableError):
            await launcher.find()
        assert len(api.only("deployments")["spec"]["template"]["spec"]["containers"]) == 1
        # What could not be told to it is told when it answers again.
        await replica.stop(timedelta(0))
        assert api.of_kind("pods")
        with serving_at(api, api.port):
            await met(lambda: not api.objects)

    asyncio.run(run())


def test_a_server_that_takes_calls_and_answers_none_holds_up_nobody(
    api: StandIn, tmp_path: Path, of: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "TIMEOUT", (0.2, 0.2))
    api.hangs = True

    async def run() -> None:
        launcher = launcher_at(api, tmp_path)
        async with asyncio.timeout(5):
            with pytest.raises(LauncherUnavailableError, match="timed out"):
                await start(launcher, of)

    asyncio.run(run())


def test_of_a_log_without_end_so_much_is_read_and_no_more(
    api: StandIn, tmp_path: Path, of: Version
) -> None:
    api.chatters = True

    async def run() -> str:
        launcher = launcher_at(api, tmp_path)
        replica = await start(launcher, of)
        api.status(**RUNS)
        async with asyncio.timeout(10):
            assert await replica.poll() is None
            return await replica.words_so_far()

    assert asyncio.run(run()) == "x" * LAST_WORDS_BYTES


def test_an_image_that_cannot_be_pulled_is_named_with_the_registrys_words(
    api: StandIn, tmp_path: Path, of: Version
) -> None:
    async def run() -> str:
        launcher = launcher_at(api, tmp_path)
        replica = await start(launcher, of)
        api.status(state={"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}})
        assert await replica.poll() is None
        assert "manifest unknown" in await replica.words_so_far()
        api.status(state={"waiting": {"reason": "ImagePullBackOff", "message": "Back-off"}})
        await asyncio.sleep(0.3)
        assert await replica.poll() == NOT_STARTED
        replica.kill()
        await replica.stop(timedelta(0))
        return replica.last_words()

    words = asyncio.run(run())
    assert "ErrImagePull: image registry.example/replica:" in words
    assert "manifest unknown" in words
    assert "ImagePullBackOff" in words


def test_what_holds_a_pod_up_is_told_also_of_one_that_is_killed_for_it(
    api: StandIn, tmp_path: Path, of: Version
) -> None:
    async def run() -> str:
        launcher = launcher_at(api, tmp_path)
        replica = await start(launcher, of)
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        api.only("pods")["status"] = {
            "phase": "Pending", "conditions": [condition | {"message": "0/3 nodes: no memory"}],
        }  # fmt: skip
        assert await replica.poll() is None
        replica.kill()
        await replica.stop(timedelta(0))
        return replica.last_words()

    assert asyncio.run(run()) == "(Unschedulable: 0/3 nodes: no memory.)"


def test_a_pod_is_deleted_by_its_own_grace_before_the_cluster_could_do_it_by_another(
    api: StandIn, tmp_path: Path, of: Version
) -> None:
    async def run() -> None:
        launcher = launcher_at(api, tmp_path)
        replica = await start(launcher, of)
        api.status(**RUNS)
        assert await replica.poll() is None
        api.asked.clear()
        await replica.stop(timedelta(seconds=3))
        told = [(one.verb, one.kind, one.grace) for one in api.asked]
        assert told[:3] == [
            ("DELETE", "pods", 3), ("PATCH", "deployments", None), ("DELETE", "deployments", None),
        ]  # fmt: skip
        assert api.objects == {}

    asyncio.run(run())


def test_the_request_to_end_at_once_is_not_to_forget_the_pod(
    api: StandIn, tmp_path: Path, of: Version
) -> None:
    async def run() -> None:
        launcher = launcher_at(api, tmp_path)
        replica = await start(launcher, of)
        api.status(**RUNS)
        assert await replica.poll() is None
        await replica.stop(timedelta(0))
        assert [one.grace for one in api.asked if one.kind == "pods"] == [KILL_GRACE]

    asyncio.run(run())


def test_a_pod_whose_container_has_ended_is_not_waited_for(
    api: StandIn, tmp_path: Path, of: Version
) -> None:
    api.leaves_at_once = False

    async def run() -> None:
        launcher = launcher_at(api, tmp_path)
        replica = await start(launcher, of)
        api.status(**RUNS)
        assert await replica.poll() is None
        stopping = asyncio.create_task(replica.stop(timedelta(seconds=3)))
        await asyncio.sleep(0.6)
        assert not stopping.done()
        api.status(state={"terminated": {"exitCode": 0}})
        async with asyncio.timeout(5):
            await stopping

    asyncio.run(run())


def test_an_earlier_life_is_emptied_before_its_pods_go_and_looked_at_again(
    api: StandIn, tmp_path: Path, of: Version
) -> None:
    api.leaves_at_once = False

    async def run() -> None:
        await start(launcher_at(api, tmp_path), of)
        api.status(**RUNS)
        later = launcher_at(api, tmp_path)
        mine = await start(later, python_version(tmp_path, models.SUMS, name="m:2"))
        (left,) = await later.find()
        api.asked.clear()
        stopping = asyncio.create_task(left.stop(timedelta(seconds=3)))
        await met(lambda: any(one.kind == "pods" for one in api.asked))
        first = [(one.verb, one.kind) for one in api.asked]
        assert first.index(("PATCH", "deployments")) < first.index(("DELETE", "pods"))
        # One that comes late, as it may between two looks of the cluster's own.
        old = next(one for one in api.of_kind("pods") if "deletionTimestamp" in one["metadata"])
        late = {name: old[name] for name in ("spec", "status")}
        late["metadata"] = {"name": "late", "labels": old["metadata"]["labels"]}
        api.put("pods", late)
        await asyncio.sleep(0.6)
        assert ("DELETE", "pods", "late") in [(one.verb, one.kind, one.name) for one in api.asked]
        assert not stopping.done()
        for one in ("late", old["metadata"]["name"]):
            del api.objects["pods", one]
        async with asyncio.timeout(5):
            await stopping
        assert await left.poll() is not None
        assert [one["metadata"]["name"] for one in api.of_kind("deployments")] == [mine.group.name]

    asyncio.run(run())
