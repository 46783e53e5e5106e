"""How soon the console paints with 200 applications and a week of data, and how fast a plot is.

Run ``python benchmarks/console.py [--json FILE] [--rows N] [--folder DIR] [--look]``. One
application has ten million predictions of a week; the sums that the monitor keeps of them are made
by SQL from the rows themselves, those of the other 199 are made up (hours of a week, minutes of a
day). A real Chromium (Debian: apt-get install chromium) opens the page on the real monitor, until
the verdict and the first forty applications are painted; the others follow. The same plot is also
asked of the rows by plain SQL, for the ratio. What has a limit is held against the slowest of its
runs; one that is missed ends it with status 1. ``--look`` keeps the page up for looking at it;
``--folder`` keeps the record, which takes minutes to lay, for another run that day.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import made_fleet
import numpy as np
import uvicorn
from playwright.sync_api import Browser, sync_playwright

# Python looks first into the folder of the program, where another benchmark is called `serving`.
sys.path[:] = [one for one in sys.path if Path(one) != Path(__file__).parent]

import dashboards  # noqa: E402
from leadsman.embedded_postgres import EmbeddedPostgres  # noqa: E402
from migrations.upgrade import upgrade  # noqa: E402
from monitor.app import create_app  # noqa: E402
from monitor.evaluation.detector_state import Subject  # noqa: E402
from monitor.evaluation.saved_state import to_rows  # noqa: E402
from monitor.evidence import TRACE_POINTS, Trace  # noqa: E402
from monitor.settings import Settings  # noqa: E402
from monitor.store.database import connect  # noqa: E402
from monitor.store.watches import read_watches  # noqa: E402
from serving.store.partitions import ensure_partitions  # noqa: E402

APPLICATIONS = 200
ROWS = 10_000_000
DAYS = made_fleet.DAYS
PORT = 18_471
KEY = "lsm_benchmark"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
REPEATS = 15
LIMITS_MS = {
    "first paint, 200 applications": 1000.0,
    "plot of a week, by hours": 500.0,
    "plot of a day, by minutes": 500.0,
    "scrape of the monitor": 20.0,
}
"""What is not to be exceeded, by its figure's name."""
PATH = f"/v1/applications/{made_fleet.name(1)}"
IDLE = f"/v1/applications/{made_fleet.name(29)}"

LAY = """
INSERT INTO predictions (predicted_at, id, version_id, application_id, revision, flags, latency_us,
       propensity, input, output, scores, shipment)
SELECT at, gen_random_uuid(), CASE WHEN i < {rows} * 3 / 7 THEN 1 ELSE 2 END, 1,
       CASE WHEN i < {rows} * 3 / 7 THEN 1 ELSE 2 END, 0, 800 + (random() * 4000)::int, 1,
       reverse(float8send(40 + random() * 20)) || reverse(float8send(random() * random()))
       || reverse(float8send(18 + 60 * random())), '\\x30', NULL, 1
  FROM generate_series({first}, {last}) i,
       LATERAL (SELECT timestamptz '{start}' + i * interval '7 d' / {rows} AS at) t
"""
OWN_SUMS = """
INSERT INTO signal_summaries (application_id, signal, step_s, subject, at, n, total, squares)
SELECT 1, s.signal, {step}, version_id::text,
       date_bin(make_interval(secs => {step}), predicted_at, timestamptz '{start}'), count(*),
       sum(s.value), sum(s.value * s.value)
  FROM predictions, LATERAL (VALUES
       ('service.latency', (latency_us > 4700)::int), ('service.default', flags & 1),
       ('loss', (latency_us % 100 < 12)::int)) AS s (signal, value)
 WHERE application_id = 1 GROUP BY 2, 4, 5
"""
BY_ROWS = """
SELECT version_id, date_bin('1 hour', predicted_at, timestamptz '{start}') AS at, count(*),
       avg((latency_us > 4700)::int) FROM predictions
 WHERE application_id = 1 AND predicted_at >= '{start}' AND predicted_at < '{end}' GROUP BY 1, 2
"""


async def lay(url: str, rows: int) -> dict[str, str]:
    """Write the record; from when to when it goes."""
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(days=DAYS)
    names = {"start": start.isoformat(), "end": end.isoformat()}
    connection = await asyncpg.connect(url, timeout=60)
    try:
        await ensure_partitions(
            connection, [(start + timedelta(days=n)).date() for n in range(DAYS + 1)]
        )
        await made_fleet.make(connection, end, applications=APPLICATIONS, key=KEY, sums_from=2)
        part = 500_000
        for first in range(0, rows, part):
            last = min(first + part, rows) - 1
            await connection.execute(LAY.format(rows=rows, first=first, last=last, **names))
            print(f"\rrows laid: {last + 1:,}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        for step in (60, 3600):
            await connection.execute(OWN_SUMS.format(step=step, **names))
        await trace(url, connection, start)
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()
    return names


def laid(url: str, told: Path, rows: int) -> dict[str, str]:
    """Lay the record, unless a run before has left it here; from when to when it goes."""
    if told.exists():
        names: dict[str, str] = json.loads(told.read_text())
        return names
    began = time.monotonic()
    asyncio.run(upgrade(url.replace("postgresql://", "postgresql+asyncpg://", 1)))
    names = asyncio.run(lay(url, rows))
    print(f"laid in {time.monotonic() - began:.0f} s", file=sys.stderr)
    told.write_text(json.dumps(names))
    return names


async def trace(url: str, connection: asyncpg.Connection, start: datetime) -> None:
    """Give the watches of the loss a state that can be read, and the evidence of a week."""
    engine = connect(url)
    async with engine.connect() as other:
        watches = [one for one in await read_watches(other) if one.signal == "loss"]
    await engine.dispose()
    rng = np.random.default_rng(7)
    begun = int(start.timestamp() * 1e6)
    steps = range(0, DAYS * 24 * 3600, DAYS * 24 * 3600 // TRACE_POINTS)
    for watch in watches:
        walk = np.exp(np.minimum(np.cumsum(rng.normal(0, 0.3, TRACE_POINTS)) - 4, -0.1))
        at = begun + np.array(steps[:TRACE_POINTS]) * 1_000_000
        made = Subject(watch, "loss", str(2 * watch.application_id), "armed", None, {"unit": "row"})
        made.trace = Trace().extended(1, at, walk, np.full(TRACE_POINTS, 0.1))
        row = to_rows([made])[0]
        await connection.execute(
            "UPDATE watch_states SET state = $2, summary = $3 WHERE watch_id = $1",
            watch.id,
            row.state,
            json.dumps(row.summary),
        )


def serve(url: str) -> None:
    """Show the record; the loop is left out, since it would judge what is made up here."""
    console = Path(dashboards.__file__).parent / "console"
    settings = Settings(database_url=url, console_dir=console)
    uvicorn.run(create_app(settings, with_loop=False), port=PORT, log_level="warning")


@contextmanager
def monitor(url: str) -> Iterator[str]:
    """The monitor's API and the console as a process of its own."""
    process = subprocess.Popen([sys.executable, __file__, "--serve", url])
    address = f"http://127.0.0.1:{PORT}"
    until = time.monotonic() + 120
    try:
        while True:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{address}/livez", trust_env=False).is_success:
                    break
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("the monitor did not start")
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def paints(browser: Browser, address: str, path: str, ready: str) -> list[float]:
    """Milliseconds from navigation until a view is painted, each in a browser with empty caches."""
    told = []
    for _ in range(REPEATS):
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        page = context.new_page()
        page.add_init_script(f"sessionStorage.setItem('leadsman-key', '{KEY}')")
        page.goto(f"{address}/{path}", wait_until="commit")
        page.wait_for_selector(ready)
        # The frame after the one in which it stands is on the screen.
        told.append(
            page.evaluate(
                "new Promise(done => requestAnimationFrame(() => requestAnimationFrame("
                "() => done(performance.now()))))"
            )
        )
        context.close()
    return told


def queries(address: str, path: str, repeats: int = REPEATS) -> list[float]:
    """Milliseconds of a request to the monitor, after one that warms nothing but the connection."""
    told = []
    headers = {"Authorization": f"Bearer {KEY}"}
    with httpx.Client(base_url=address, headers=headers, trust_env=False, timeout=60) as client:
        client.get("/livez")
        for _ in range(repeats):
            began = time.perf_counter()
            client.get(path).raise_for_status()
            told.append((time.perf_counter() - began) * 1000)
    return told


async def rows_by_sql(url: str, names: dict[str, str]) -> float:
    """Milliseconds of the same plot made from the rows."""
    connection = await asyncpg.connect(url)
    try:
        began = time.perf_counter()
        await connection.fetch(BY_ROWS.format(**names))
        return (time.perf_counter() - began) * 1000
    finally:
        await connection.close()


def figures(values: list[float]) -> dict[str, float]:
    """Median and slowest, in milliseconds."""
    return {"median_ms": round(statistics.median(values), 1), "slowest_ms": round(max(values), 1)}


def measure(address: str, url: str, names: dict[str, str], chromium: str) -> dict[str, Any]:
    """Every figure."""
    day = (datetime.fromisoformat(names["end"]) - timedelta(days=1)).isoformat()
    plot = f"{PATH}/plots/service.latency"
    found: dict[str, Any] = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        # A monitor that runs has asked the record before somebody opens its page.
        queries(address, "/v1/fleet", 1)
        found["first paint, 200 applications"] = figures(paints(browser, address, "", "#verdict"))
        view = f"#/applications/{made_fleet.name(1)}"
        found["application with all charts"] = figures(
            paints(browser, address, view, "#h-coverage")
        )
        browser.close()
    found["fleet"] = figures(queries(address, "/v1/fleet"))
    found["plot of a week, by hours"] = figures(queries(address, plot))
    quoted = httpx.QueryParams({"from": day, "to": names["end"]})
    found["plot of a day, by minutes"] = figures(queries(address, f"{plot}?{quoted}"))
    found["newest rows beside the reference"] = figures(queries(address, f"{PATH}/distributions"))
    found["the same of an idle application"] = figures(queries(address, f"{IDLE}/distributions"))
    queries(address, "/metrics")  # The record is read for the first scrape, later beside them.
    found["scrape of the monitor"] = figures(queries(address, "/metrics"))
    found["plot of a week, from the rows by SQL"] = figures([asyncio.run(rows_by_sql(url, names))])
    return found


def main() -> None:
    """Lay, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--look", action="store_true")
    parser.add_argument("--serve", metavar="URL", help=argparse.SUPPRESS)
    wishes = parser.parse_args()
    if wishes.serve is not None:
        serve(wishes.serve)
        return
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("expected chromium on the path; Debian: apt-get install chromium")
    # Ended from outside, it stops what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with tempfile.TemporaryDirectory(prefix="leadsman-bench-") as name:
        folder = wishes.folder or Path(name)
        folder.mkdir(exist_ok=True)
        folder.chmod(0o755)
        options = {"fsync": "off", "shared_buffers": "512MB", "max_wal_size": "8GB"}
        server = EmbeddedPostgres(folder / "postgres", options=options)
        url = server.start()
        try:
            names = laid(url, folder / "laid.json", wishes.rows)
            with monitor(url) as address:
                if wishes.look:
                    print(f"{address} key {KEY}; Ctrl-C ends it", flush=True)
                    signal.pause()
                found = measure(address, url, names, chromium)
        finally:
            server.stop()
    missed = [label for label, limit in LIMITS_MS.items() if found[label]["slowest_ms"] > limit]
    summary = {
        "command": "python benchmarks/console.py",
        "rows": wishes.rows,
        "applications": APPLICATIONS,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "load_average": [round(one, 2) for one in os.getloadavg()],
        "limits_ms": LIMITS_MS,
        "missed": missed,
        "figures": found,
        "rows_by_sql_over_summaries": round(
            found["plot of a week, from the rows by SQL"]["median_ms"]
            / found["plot of a week, by hours"]["median_ms"],
            1,
        ),
    }
    for label, told in found.items():
        limit = LIMITS_MS.get(label)
        met = "MISSED" if label in missed else "met"
        held = "" if limit is None else f" (limit {limit:,.0f}: {met})"
        print(f"{label:<40} {told['median_ms']:>9,.1f} ms, slowest {told['slowest_ms']:,.1f}{held}")
    print(f"by SQL over from the sums: {summary['rows_by_sql_over_summaries']}x")
    print(f"load average: {summary['load_average']}")
    if wishes.json is not None:
        wishes.json.write_text(json.dumps(summary, indent=2) + "\n")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
