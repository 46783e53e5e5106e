"""One node of a cluster: a kubelet with a Docker Engine of its own.

An engine of its own, since the kubelet asks it for what this kind of machine may refuse, a negative
score against running out of memory: a wrapper around runc takes that out of every container. The
engine's images stay in the cache folder.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

import docker
import yaml
from docker.errors import ImageNotFound
from kubernetes import client

from serving.launchers.environments import Environment
from tests.support.kubernetes.control_plane import (
    BINARIES,
    CACHE,
    OF_PODS,
    ControlPlane,
    free_port,
    wait_for,
)

ROOT = Path(__file__).parents[3]
NAME = "localhost"
"""Of the node: the API server finds it by that, so that it listens on loopback alone."""
BRIDGE = "leadsman-pods"
PAUSE = "leadsman-pause:1"
WRAPPER = """#!/bin/sh
# Run runc; a negative oomScoreAdj, which takes a capability that may be missing, becomes none.
for one in "$@"; do
    if [ "$before" = --bundle ]; then
        sed -i 's/"oomScoreAdj":-[0-9]*/"oomScoreAdj":0/' "$one/config.json"
    fi
    before=$one
done
exec runc "$@"
"""


def missing_for_node() -> str:
    """Why no node can be started here; empty where one can."""
    programs = ("dockerd", "docker", "containerd", "runc", "ip", "iptables")
    absent = [one for one in programs if not _has(one)]
    if absent:
        return f"a node needs {', '.join(absent)}, which this machine does not have"
    return "" if os.geteuid() == 0 else "a node needs root, for its containers' network"


def _has(program: str) -> bool:
    return shutil.which(program) is not None


class Node:
    """The cluster's only node."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self._children = plane.children
        self._folder = plane.folder
        # A socket's path holds 107 bytes, and the session's folder may lie deep.
        self._socket = f"/run/leadsman-node-{os.getpid()}.sock"
        self.engine_url = f"unix://{self._socket}"
        self._engine: Any = None
        self._lock: TextIO | None = None

    def start(self) -> None:
        """Bring engine and kubelet up, and wait until the node is ready."""
        self._be_the_only_one()
        self._start_engine()
        self._engine = docker.DockerClient(base_url=self.engine_url, timeout=600)
        # Of a session that was killed.
        self._remove_containers()
        self.base_image = self._base_image()
        self._pause_image()
        self._start_kubelet()
        wait_for("the node is ready", self._is_ready)

    def _be_the_only_one(self) -> None:
        """Hold the engine's folder and the bridge; another session's test would lose both."""
        lock = self._lock = (CACHE / "engine.lock").open("w")

        def is_free() -> bool:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_for("another session's node has gone", is_free)

    def _remove_containers(self) -> None:
        for container in self._engine.containers.list(all=True, ignore_removed=True):
            container.remove(force=True)

    def _is_ready(self) -> bool:
        assert not self._children.ended("kubelet"), self._children.words("kubelet")
        api = self._plane.api()
        nodes = client.CoreV1Api(api).list_node(_request_timeout=10).items
        return any(
            condition.type == "Ready" and condition.status == "True"
            for node in nodes
            for condition in (node.status and node.status.conditions) or ()
        )

    def _start_engine(self) -> None:
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)
        for command in (
            ["ip", "link", "add", "name", BRIDGE, "type", "bridge"],
            ["ip", "address", "add", f"{OF_PODS}/24", "dev", BRIDGE],
            ["ip", "link", "set", BRIDGE, "up"],
        ):
            subprocess.run(command, check=True, capture_output=True)
        wrapper = self._folder / "runc-wrapper"
        wrapper.write_text(WRAPPER)
        wrapper.chmod(0o755)
        self._children.start(
            "dockerd",
            [
                "dockerd", "-H", self.engine_url, "--data-root", str(CACHE / "engine"),
                "--exec-root", f"/run/leadsman-node-{os.getpid()}",
                "--pidfile", str(self._folder / "dockerd.pid"), "--bridge", BRIDGE,
                "--iptables=false", "--ip-masq=false", "--ip-forward=false",
                # A model may print for ever; other runtimes have their logs cut by the kubelet.
                "--log-opt", "max-size=10m", "--log-opt", "max-file=2",
                "--add-runtime", f"wrapped={wrapper}", "--default-runtime", "wrapped",
            ],
        )  # fmt: skip
        wait_for("the engine answers", self._engine_answers)

    def _engine_answers(self) -> bool:
        assert not self._children.ended("dockerd"), self._children.words("dockerd")
        asked = subprocess.run(
            ["docker", "-H", self.engine_url, "version"], check=False, capture_output=True
        )
        return asked.returncode == 0

    def _base_image(self) -> str:
        name = f"python:{sys.version_info.major}.{sys.version_info.minor}-slim"
        if not self._has_image(name):
            environment = os.environ | {"DOCKER_HOST": self.engine_url}
            script = ROOT / "deploy/base-image"
            subprocess.run([script, sys.executable, name], check=True, env=environment)
        return name

    def _has_image(self, name: str) -> bool:
        try:
            self._engine.images.get(name)
        except ImageNotFound:
            return False
        return True

    def _pause_image(self) -> None:
        """What holds a pod's network: it waits, and ends when asked."""
        if self._has_image(PAUSE):
            return
        held = self._engine.containers.create(self.base_image, ["true"])
        changes = ['CMD ["bash", "-c", "trap exit TERM; sleep infinity & wait"]']
        repository, _, tag = PAUSE.partition(":")
        held.commit(repository, tag, changes=changes)
        held.remove()

    def build(self, of: Environment) -> None:
        """Build the image of an environment, as the docker launcher does."""
        if self._has_image(of.image):
            return
        self._engine.images.build(
            fileobj=of.context(), custom_context=True, tag=of.image, rm=True, forcerm=True,
            buildargs={"BASE": of.base, "VERSION": "test"},
            # The pods' own network leads nowhere.
            network_mode="host",
        )  # fmt: skip

    def build_ours(self) -> None:
        """Build the images of `deploy/kubernetes` and of its replicas, as an operator does."""
        subprocess.run(
            [ROOT / "deploy/images", "build"], check=True,
            env=os.environ | {
                "DOCKER_HOST": self.engine_url, "BASE": self.base_image, "FRAMEWORKS": "python",
                "BUILD_OPTIONS": "--network host",
            },
        )  # fmt: skip

    def push(self, image: str, registry: str) -> None:
        """Push an image and forget what it is called there, so that a pod has to pull it."""
        tagged = f"{registry}/{image}"
        self._engine.images.get(image).tag(tagged)
        for line in self._engine.api.push(tagged, stream=True, decode=True):
            assert "error" not in line, line
        self._engine.images.remove(tagged)

    def _start_kubelet(self) -> None:
        config = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": "127.0.0.1",
            "port": free_port(),
            "readOnlyPort": 0,
            "healthzPort": 0,
            # On loopback and for a test session: the API server fetches logs without a certificate.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            "cgroupDriver": "cgroupfs",
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "evictionHard": {"nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "resolvConf": "",
        }
        path = self._folder / "kubelet.yaml"
        path.write_text(yaml.safe_dump(config))
        root = self._folder / "kubelet"
        self._children.start(
            "kubelet",
            [
                str(BINARIES / "kubelet"), f"--kubeconfig={self._plane.kubeconfig}",
                f"--config={path}", f"--root-dir={root}", "--container-runtime=docker",
                f"--docker-endpoint={self.engine_url}", f"--pod-infra-container-image={PAUSE}",
                f"--hostname-override={NAME}", f"--cert-dir={self._folder}/kubelet-certs",
                f"--experimental-dockershim-root-directory={self._folder}/dockershim",
            ],
        )  # fmt: skip

    def stop(self) -> None:
        """End the kubelet, every container, and the engine."""
        self._children.stop("kubelet")
        if self._engine is not None:
            self._remove_containers()
            self._engine.close()
        self._children.stop("dockerd", within=30)
        self._unmount()
        subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)
        shutil.rmtree(f"/run/leadsman-node-{os.getpid()}", ignore_errors=True)
        if self._lock is not None:
            self._lock.close()

    def _unmount(self) -> None:
        """Volumes of pods stay mounted where the kubelet ended before it could take them away."""
        ours = (str(self._folder), f"/run/leadsman-node-{os.getpid()}")
        for _ in range(5):
            # What is mounted over itself shows again once the upper one has gone.
            lines = Path("/proc/self/mounts").read_text().splitlines()
            left = [one for one in (line.split()[1] for line in lines) if one.startswith(ours)]
            for target in reversed(left):
                subprocess.run(["umount", "-l", target], check=False, capture_output=True)
            if not left:
                return
