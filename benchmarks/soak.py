"""Minutes of full load with rollbacks and dying replicas: nothing lost, nothing wrong, no growth.

Run ``python benchmarks/soak.py [--json FILE] [--minutes 10] [--workers 2]``. Needs wrk (Debian:
``apt-get install wrk``): it writes down the id and the output of each answer that it got. While it
asks as fast as it can, the route is changed or rolled back every 10 s and a replica is killed every
7 s. In the end each id that wrk wrote down must be in the record exactly once with the same output,
and each output must be that of the version named beside it.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean

import asyncpg
import psutil
from fleet_load import (
    RIGHT,
    ROLLBACK,
    Load,
    admin,
    query,
    replicas,
    serve,
    service,
    serving_processes,
    wait_until_shipped,
)

from leadsman.demo.service import Service

CONNECTIONS = 32
ROLLBACK_SECONDS = 10.0
KILL_SECONDS = 7.0
OBJECTIVE_MS = 20_000
"""Longer than a replica takes to be replaced on a busy machine: then no answer is a default."""
FLAT = 0.1
"""Growth of memory from the second quarter of the run to the last that counts as none."""


class Trouble:
    """What is done to the service while it answers."""

    def __init__(self, running: Service) -> None:
        self.changes = 0
        self.kills = 0
        self.memory: list[tuple[float, int]] = []
        """Moment and resident bytes of every serving process and replica together."""
        self.failures: list[str] = []
        self._running = running
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._every, args=(ROLLBACK_SECONDS, self._change)),
            threading.Thread(target=self._every, args=(KILL_SECONDS, self._kill)),
            threading.Thread(target=self._every, args=(1.0, self._weigh)),
        ]

    def __enter__(self) -> "Trouble":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _every(self, seconds: float, what: Callable[[], None]) -> None:
        while not self._over.wait(seconds):
            try:
                what()
            except Exception as error:
                self.failures.append(repr(error))

    def _change(self) -> None:
        with admin(self._running) as client:
            serve(client, "bad")
            client.post(ROLLBACK, json={"reason": "soak"}).raise_for_status()
            self.changes += 2

    def _kill(self) -> None:
        living = replicas(self._running)
        if living:
            os.kill(random.choice(living).pid, signal.SIGKILL)
            self.kills += 1

    def _weigh(self) -> None:
        total = 0
        for one in serving_processes(self._running):
            try:
                total += one.memory_info().rss
            except psutil.Error:
                continue
        self.memory.append((time.monotonic(), total))


def compare(running: Service, ids: Path) -> dict[str, int]:
    """Hold what wrk wrote down against the record.

    Returns
    -------
    dict
        answers: ids that wrk saw; lost: those that the record lacks; differing: those that it has
        with another version or output; repeated: ids that are there more than once; wrong: outputs
        that are not their version's; defaults: default answers; unread: lines that are no answer.
    """
    counts = {"answers": 0, "wrong": 0, "defaults": 0, "unread": 0}
    rows = []
    for line in ids.read_text().splitlines():
        parts = line.split(" ")
        if len(parts) != 4 or len(parts[0]) != 36:
            counts["unread"] += 1
            continue
        name, version, output, default = parts
        counts["answers"] += 1
        counts["defaults"] += default == "true"
        counts["wrong"] += default == "false" and RIGHT.get(version) != int(output)
        rows.append((name, version, output))

    async def look() -> dict[str, int]:
        url = (running.data_dir / "database_url").read_text().strip()
        connection = await asyncpg.connect(url, command_timeout=600)
        try:
            await connection.execute("CREATE TEMP TABLE seen (id text, version text, output text)")
            await connection.copy_records_to_table("seen", records=rows)
            row = await connection.fetchrow(
                """
                SELECT count(*) FILTER (WHERE p.id IS NULL) AS lost,
                       count(*) FILTER (WHERE v.version <> s.version
                                           OR convert_from(p.output, 'UTF8') <> s.output)
                           AS differing
                  FROM seen s
                  LEFT JOIN predictions p ON p.id = s.id::uuid
                  LEFT JOIN versions v ON v.id = p.version_id
                """
            )
            assert row is not None, "a count has a row"
            twice = await connection.fetchval(
                "SELECT count(*) FROM (SELECT FROM predictions GROUP BY id HAVING count(*) > 1) x"
            )
            return {"lost": row["lost"], "differing": row["differing"], "repeated": twice}
        finally:
            await connection.close()

    return counts | asyncio.run(look())


def growth(memory: list[tuple[float, int]]) -> dict[str, float]:
    """Memory in the second quarter of the run and in the last, in MiB."""
    sizes = [size / 2**20 for _, size in memory]
    quarter = max(len(sizes) // 4, 1)
    before, after = mean(sizes[quarter : 2 * quarter]), mean(sizes[-quarter:])
    return {"memory_before_mb": before, "memory_after_mb": after, "growth": after / before - 1}


def main() -> None:
    """Soak and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    if shutil.which("wrk") is None:
        raise SystemExit("soak.py needs wrk, which is not installed")
    settings = {"SERVING_WORKERS": str(asked.workers)}
    with (
        service(settings, objective_ms=OBJECTIVE_MS) as running,
        tempfile.TemporaryDirectory() as folder,
    ):
        load = Load(running, Path(folder), seconds=asked.minutes * 60, connections=CONNECTIONS)
        with Trouble(running) as trouble:
            seen = load.finish()
        wait_until_shipped(running)
        assert seen.ids is not None
        compared = compare(running, seen.ids)
        recorded = query(running, "SELECT count(*) AS n FROM predictions")[0]["n"]
    figures = {
        "command": f"python benchmarks/soak.py --minutes {asked.minutes:g} --workers"
        f" {asked.workers}",
        "python": platform.python_version(),
        "cores": psutil.cpu_count(),
        "minutes": asked.minutes,
        "workers": asked.workers,
        "connections": CONNECTIONS,
        "requests": seen.requests,
        "per_second": seen.per_second,
        "errors": seen.errors,
        "recorded": recorded,
        **compared,
        "changes": trouble.changes,
        "kills": trouble.kills,
        **growth(trouble.memory),
    }
    for name, value in figures.items():
        print(f"{name:20} {value:.3f}" if isinstance(value, float) else f"{name:20} {value}")
    for failure in trouble.failures[:5]:
        print(f"failed: {failure}")
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    bad = [name for name in ("lost", "differing", "repeated", "wrong", "errors", "unread")
           if figures[name]]  # fmt: skip
    if bad or trouble.failures or figures["growth"] > FLAT:
        raise SystemExit(f"not clean: {', '.join(bad) or 'failed changes or growing memory'}")


if __name__ == "__main__":
    main()
