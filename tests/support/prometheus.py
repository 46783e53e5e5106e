"""A real Prometheus with a real Alertmanager for a test, on ports of their own."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.service import free_ports, wait_until

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy" / "prometheus"
RULES = ROOT / "dashboards" / "generated" / "prometheus" / "leadsman.rules.yml"
SCRAPE_SECONDS = 1


def needed(*programs: str) -> None:
    """Skip where a program of Debian's packages is missing."""
    missing = [one for one in programs if shutil.which(one) is None]
    if missing:
        pytest.skip(
            f"{', '.join(missing)} not installed: "
            "apt-get install --no-install-recommends prometheus prometheus-alertmanager"
        )


def faults_of(page: bytes) -> str:
    """What Prometheus' own tool finds wrong with the text that a scrape gets; empty for nothing."""
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, check=False
    )
    return (done.stdout + done.stderr).decode() or ("" if done.returncode == 0 else "not read")


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Where both listen."""

    url: str
    alertmanager_url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query.

        Raises
        ------
        AssertionError
            If Prometheus does not understand it.
        """
        answer = httpx.post(f"{self.url}/api/v1/query", data={"query": expression}, timeout=30)
        body = answer.json()
        assert body["status"] == "success", f"{expression}: {body}"
        found: list[dict[str, Any]] = body["data"]["result"]
        return found

    def rules(self) -> list[dict[str, Any]]:
        """Every rule as it was evaluated last."""
        groups = httpx.get(f"{self.url}/api/v1/rules", timeout=30).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]


@contextmanager
def prometheus(folder: Path, targets: Mapping[str, str], receiver: str) -> Iterator[Prometheus]:
    """Start both with the configuration that the project ships.

    Parameters
    ----------
    targets
        Address of each scrape job, where the shipped file has names of containers.
    receiver
        Where Alertmanager sends every alert.
    """
    port, manager_port = free_ports(2)
    settings = yaml.safe_load((CONFIGURATION / "prometheus.yml").read_text())
    settings["global"] |= dict.fromkeys(
        ("scrape_interval", "evaluation_interval"), f"{SCRAPE_SECONDS}s"
    )
    settings["rule_files"] = [str(RULES)]
    settings["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [
        f"127.0.0.1:{manager_port}"
    ]
    for job in settings["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    manager = yaml.safe_load((CONFIGURATION / "alertmanager.yml").read_text())
    for one in manager["receivers"]:
        one["webhook_configs"] = [{"url": receiver}]
    for route in (manager["route"], *manager["route"]["routes"]):
        route["group_wait"] = "1s"
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(manager))
    here = "127.0.0.1"
    commands = (
        ["prometheus", f"--config.file={folder / 'prometheus.yml'}",
         f"--storage.tsdb.path={folder / 'prometheus'}", f"--web.listen-address={here}:{port}"],
        ["prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}",
         f"--storage.path={folder / 'alertmanager'}", "--cluster.listen-address=",
         f"--web.listen-address={here}:{manager_port}"],
    )  # fmt: skip
    with ExitStack() as stack:
        for command in commands:
            log = stack.enter_context((folder / f"{command[0]}.log").open("wb"))
            process = subprocess.Popen(command, stdout=log, stderr=log)
            stack.callback(process.wait)
            stack.callback(process.terminate)
        made = Prometheus(f"http://{here}:{port}", f"http://{here}:{manager_port}")
        for url in (made.url, made.alertmanager_url):
            wait_until(lambda url=url: _is_ready(url))
        yield made


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/-/ready").is_success
    except httpx.TransportError:
        return False
