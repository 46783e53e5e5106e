"""The addresses of Services, by a kube-proxy of the session's own."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.kubernetes.control_plane import BINARIES, ControlPlane, free_port, wait_for
from tests.support.kubernetes.node import BRIDGE, NAME

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")


@contextmanager
def service_routes(plane: ControlPlane) -> Iterator[None]:
    """Let this machine and the pods on it reach Services; its rules are gone afterwards."""
    health = free_port()
    command = [
        str(BINARIES / "kube-proxy"), f"--kubeconfig={plane.kubeconfig}",
        f"--hostname-override={NAME}", "--proxy-mode=iptables", "--bind-address=127.0.0.1",
        f"--healthz-bind-address=127.0.0.1:{health}",
        f"--metrics-bind-address=127.0.0.1:{free_port()}", "--nodeport-addresses=127.0.0.0/8",
        # Answers of a pod on the same bridge would come straight, by an address that nobody asked.
        "--masquerade-all",
        # The machine's own limits stay.
        "--conntrack-max-per-core=0", "--conntrack-min=0",
        "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
    ]  # fmt: skip
    # As the network of a cluster does it: an engine of this machine forwards for its own alone.
    between = ["FORWARD", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"]
    before = FORWARDING.read_text()
    FORWARDING.write_text("1")
    subprocess.run(["iptables", "-I", *between], check=True)
    plane.children.start("kube-proxy", command)
    try:
        wait_for("kube-proxy has its rules", lambda: _has_rules(plane))
        yield
    finally:
        plane.children.stop("kube-proxy")
        subprocess.run([BINARIES / "kube-proxy", "--cleanup"], check=False, capture_output=True)
        subprocess.run(["iptables", "-D", *between], check=False)
        FORWARDING.write_text(before)


def _has_rules(plane: ControlPlane) -> bool:
    assert not plane.children.ended("kube-proxy"), plane.children.words("kube-proxy")
    listed = subprocess.run(
        ["iptables", "-t", "nat", "-S"], check=False, capture_output=True, text=True
    )
    return "kubernetes:https" in listed.stdout
