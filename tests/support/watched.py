"""A service that has lived a little: real serving with traffic, a real monitor with an alarm."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np

import dashboards
from tests.support.http_server import http_server
from tests.support.monitor_api import add_keys
from tests.support.monitoring import bad_release, lay
from tests.support.service import free_ports, wait_until
from tests.support.serving import FEATURES, ServingProcess, artefact, reference, register

CONSOLE = Path(dashboards.__file__).parent / "console"
APPLICATIONS = ("fraud", "together", "hasty", "market")
"""One whose route changed and was rolled back, an ensemble, one whose model is too slow for some
rows, and one with a bad release."""


@dataclass(frozen=True, slots=True)
class Watched:
    """Where everything is."""

    serving: httpx.Client
    monitor: httpx.Client
    told: list[Any]
    """What the webhook got."""

    def traffic(self, requests: int = 40) -> None:
        """Ask both applications, and label what the first one answered."""
        rng = np.random.default_rng(3)
        labels = []
        for number in range(requests):
            row = dict(zip(FEATURES, rng.normal(size=len(FEATURES)).tolist(), strict=True))
            if number % 10 == 0:
                row["a"] = 1e6
            asked = ("fraud", "together", *(("hasty",) if number % 10 == 0 else ()))
            for name in asked:
                path = f"/v1/applications/{name}/predictions"
                answer = self.serving.post(path, json={"input": row})
                # The slow model may still be at its last row: then the next one is refused.
                refused = name == "hasty" and answer.status_code == 503
                assert refused or answer.status_code == 200, answer.text
                if name == "fraud":
                    label = int(row["a"] > 0)
                    labels.append({"prediction_id": answer.json()["id"], "label": label})
            # The same again, which the cache answers, and one that is no input at all.
            self.serving.post("/v1/applications/fraud/predictions", json={"input": row})
            self.serving.post("/v1/applications/fraud/predictions", json={"input": {"a": "x"}})
        assert self.serving.post("/v1/feedback", json={"feedback": labels}).status_code == 202


@contextmanager
def watched(database: str, folder: Path) -> Iterator[Watched]:
    """Start serving and the monitor; give them a route change, an ensemble and a bad release."""
    asyncio.run(_leave_numbers(database))
    asyncio.run(add_keys(database))
    serving = ServingProcess(
        database, folder, SERVING_CACHE_BYTES="1000000", SERVING_DEPLOY_TIMEOUT="60"
    )
    with ExitStack() as stack:
        stack.callback(serving.client.close)
        stack.callback(serving.stop)
        serving.start()
        _applications(serving.client)
        # Its versions have no artefact: this application stays without answers of its own.
        asyncio.run(lay(database, bad_release()))
        told = stack.enter_context(http_server(lambda _call: (200, {})))
        port = free_ports(1)[0]
        environment = {
            **os.environ,
            "MONITOR_DATABASE_URL": database,
            "MONITOR_SERVING_URL": str(serving.client.base_url),
            "MONITOR_PORT": str(port),
            "MONITOR_FIGURES_PAUSE": "PT1S",
            "MONITOR_POLL_INTERVAL": "PT0.5S",
            "MONITOR_WEBHOOK_ALLOW_PRIVATE": "true",
            "MONITOR_CONSOLE_DIR": str(CONSOLE),
        }
        log = stack.enter_context((folder / "monitor.log").open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor"], env=environment, stdout=log, stderr=log
        )
        stack.callback(process.wait)
        stack.callback(process.terminate)
        monitor = stack.enter_context(
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}",
                headers={"Authorization": "Bearer lsm_admin"},
                trust_env=False,
            )
        )
        wait_until(lambda: _ready(monitor), within=120)
        body = {"url": told.url, "tiers": ["rollback", "page", "info"]}
        assert monitor.post("/v1/webhooks", json=body).status_code == 201
        yield Watched(serving.client, monitor, told.calls)


def _ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


SLOW = """
import sys
import time
print("the weights were read", file=sys.stderr)
def answer(rows):
    time.sleep(0.3 if (rows[:, 0] > 100).any() else 0.0)
    return (rows[:, 0] > 0).astype(int)
"""
"""Takes longer than its application may for rows that are far off."""


def _applications(client: httpx.Client) -> None:
    for version, inverted in (("1", False), ("2", True)):
        rows = reference(inverted=inverted)
        made = register(client, version, artefact(inverted=inverted), reference=rows)
        assert made.status_code == 201, made.text
    slow = {"framework": "python", "entry": "model:answer", "reference": reference()}
    made = register(client, "slow", SLOW.encode(), file="model.py", **slow)
    assert made.status_code == 201, made.text
    for name, objective in (("fraud", 5000), ("together", 5000), ("hasty", 100)):
        body = {"name": name, "task": "binary", "default_output": 0}
        body |= {"latency_objective_ms": objective}
        assert client.post("/v1/applications", json=body).status_code == 201
    policies: list[tuple[str, dict[str, Any]]] = [
        ("hasty", {"kind": "single", "champion": "m:slow"}),
        ("fraud", {"kind": "single", "champion": "m:1"}),
        ("fraud", {"kind": "shadow", "champion": "m:2", "challengers": ["m:1"]}),
        ("together", {"kind": "ensemble", "members": ["m:1", "m:2"], "combine": "vote"}),
    ]
    for name, policy in policies:
        answer = client.put(f"/v1/applications/{name}/route", json={"policy": policy})
        assert answer.status_code == 200, answer.text


async def _leave_numbers(database: str) -> None:
    """Leave the numbers that a made record gives by itself."""
    import asyncpg

    connection = await asyncpg.connect(database)
    try:
        for table in ("applications", "input_schemas", "models", "versions"):
            await connection.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), 100)")
    finally:
        await connection.close()
