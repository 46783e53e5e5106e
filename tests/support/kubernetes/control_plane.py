"""etcd, API server, controllers and scheduler of a cluster, as child processes on loopback."""

import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kubernetes import client, config

BUILD = Path(__file__).with_name("build")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "leadsman-kubernetes"
BINARIES = CACHE / "bin"
PROGRAMS = (
    "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
)  # fmt: skip
PATIENCE = 90.0
"""Seconds for a component to answer on a slow machine."""
OF_PODS = "172.29.249.1"
"""Address of this machine as pods see it; the node makes it."""
OF_SERVICES = "10.96.0.0/24"
API = "10.96.0.1"
"""Address of the API server's own Service, the first of them."""

ANSWER = 20.0
"""Seconds in which the API server must answer."""


def missing() -> str:
    """Why no control plane can be started here; empty where one can."""
    absent = [name for name in PROGRAMS if not (BINARIES / name).exists()]
    if absent:
        return f"{', '.join(absent)} not in {BINARIES}: run make test-kubernetes, which builds them"
    return "" if shutil.which("etcd") else "etcd is not installed: run make test-kubernetes"


def free_port() -> int:
    """A port of loopback that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(what: str, met: Callable[[], bool], within: float = PATIENCE) -> None:
    """Look again and again until something holds."""
    until = time.monotonic() + within
    while not met():
        assert time.monotonic() < until, f"{what}: not within {within:g} s"
        time.sleep(0.1)


class Children:
    """Child processes with their logs in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, command: list[str], **more: Any) -> None:
        """Start one; its words go to NAME.log. It ends with this process, also a killed one."""
        if shutil.which("setpriv"):
            command = ["setpriv", "--pdeathsig", "TERM", *command]
        with (self.folder / f"{name}.log").open("ab") as words:
            self._running[name] = subprocess.Popen(
                command, stdout=words, stderr=words, stdin=subprocess.DEVNULL, **more
            )

    def stop(self, name: str, within: float = 20) -> None:
        """Ask one to end, and end it by force where it does not."""
        process = self._running.pop(name, None)
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(within)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def stop_all(self) -> None:
        """End all, the last one first; what they hold is thrown away."""
        for name in reversed(list(self._running)):
            self.stop(name, within=2)

    def ended(self, name: str) -> bool:
        """Whether one has ended by itself."""
        return self._running[name].poll() is not None

    def words(self, name: str) -> str:
        """The end of what one wrote."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-1500:]


class _Bounded(client.ApiClient):
    def call_api(self, *asked: Any, **more: Any) -> Any:
        more["_request_timeout"] = more.get("_request_timeout") or ANSWER
        return super().call_api(*asked, **more)


class ControlPlane:
    """A cluster without nodes.

    Parameters
    ----------
    folder
        For data, certificates and logs; the cluster's whole life is in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children = Children(folder)
        self._port = free_port()
        self._etcd = free_port()
        self._token = secrets.token_hex(16)
        self._certificate = folder / "certs/apiserver.crt"
        self.host = f"https://127.0.0.1:{self._port}"
        self.kubeconfig = self.write_kubeconfig("admin", self._token)

    def api(self) -> client.ApiClient:
        """A client that may do everything, and waits for no answer longer than `ANSWER`."""
        configuration = client.Configuration()
        config.load_kube_config(
            config_file=str(self.kubeconfig), client_configuration=configuration,
            persist_config=False,
        )  # fmt: skip
        return _Bounded(configuration)

    def write_kubeconfig(self, name: str, token: str, namespace: str = "default") -> Path:
        """A file by which one account reaches the cluster."""
        path = self.folder / f"{name}.kubeconfig"
        content = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [
                {
                    "name": "test",
                    "cluster": {
                        "server": self.host,
                        "certificate-authority": str(self._certificate),
                    },
                }
            ],
            "users": [{"name": name, "user": {"token": token}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": name, "namespace": namespace},
                }
            ],
        }
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path

    def start(self) -> None:
        """Bring all up and wait until they answer."""
        self._make_keys()
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f"{self._token},admin,admin,system:masters\n")
        tokens.chmod(0o600)
        self._start_etcd()
        self.start_api_server()
        for name in ("controller-manager", "scheduler"):
            command = [
                str(BINARIES / f"kube-{name}"), f"--kubeconfig={self.kubeconfig}",
                "--leader-elect=false", "--bind-address=127.0.0.1",
                f"--secure-port={free_port()}", "--port=0", f"--cert-dir={self.folder}/{name}",
            ]  # fmt: skip
            if name == "controller-manager":
                key = self.folder / "accounts.key"
                command += [f"--service-account-private-key-file={key}", "--controllers=*"]
                # What pods know the API server by.
                command += [f"--root-ca-file={self._certificate}"]
            self.children.start(name, command)

    def _make_keys(self) -> None:
        """One that accounts' tokens are signed with, and the API server's with its certificate."""
        self._certificate.parent.mkdir()
        names = f"IP:127.0.0.1,IP:{OF_PODS},IP:{API}"
        for words in (
            ["genrsa", "-out", str(self.folder / "accounts.key"), "2048"],
            ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test",
             "-addext", f"subjectAltName={names}", "-out", str(self._certificate),
             "-keyout", str(self._certificate.with_suffix(".key"))],
        ):  # fmt: skip
            subprocess.run(["openssl", *words], check=True, capture_output=True)

    def _start_etcd(self) -> None:
        url, peer = f"http://127.0.0.1:{self._etcd}", f"http://127.0.0.1:{free_port()}"
        self.children.start(
            "etcd",
            [
                "etcd", "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", url,
                "--advertise-client-urls", url, "--listen-peer-urls", peer,
                "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}",
                # A cluster of one test session has no power cut to survive.
                "--unsafe-no-fsync",
            ],
        )  # fmt: skip

    def start_api_server(self) -> None:
        """Start the API server, also again after it was stopped."""
        key = self.folder / "accounts.key"
        self.children.start(
            "apiserver",
            [
                str(BINARIES / "kube-apiserver"), f"--etcd-servers=http://127.0.0.1:{self._etcd}",
                # Pods come from another network.
                "--bind-address=0.0.0.0", f"--advertise-address={OF_PODS}",
                f"--secure-port={self._port}", f"--tls-cert-file={self._certificate}",
                f"--tls-private-key-file={self._certificate.with_suffix('.key')}",
                f"--service-cluster-ip-range={OF_SERVICES}",
                "--service-account-issuer=https://kubernetes.test",
                f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
                f"--token-auth-file={self.folder}/tokens.csv", "--authorization-mode=RBAC",
                "--kubelet-preferred-address-types=Hostname",
            ],
        )  # fmt: skip
        wait_for("the API server is ready", self._is_ready)

    def stop_api_server(self) -> None:
        """From here on nobody answers; what runs goes on."""
        # Not by its leave: it would wait for those who watch.
        self.children.stop("apiserver", within=1)

    def _is_ready(self) -> bool:
        assert not self.children.ended("apiserver"), self.children.words("apiserver")
        try:
            request = urllib.request.Request(f"{self.host}/readyz")
            request.add_header("Authorization", f"Bearer {self._token}")
            context = ssl.create_default_context(cafile=str(self._certificate))
            with urllib.request.urlopen(request, timeout=5, context=context) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def stop(self) -> None:
        """End all."""
        self.children.stop_all()
