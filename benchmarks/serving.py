"""The whole path of a prediction against an echo, handlers written by hand and peers, in turns.

Run ``python benchmarks/serving.py [--json FILE]``, best on an idle machine. Ours runs with
everything on: HTTP, checks of key and input, replica process, batching, journal, shipping into
Postgres, monitor. The handlers by hand are FastAPI with the same model inline: `fastapi` records
nothing, `insert` waits for an INSERT. MLServer, BentoML, LitServe and mosec serve the same file
with their own batching and record nothing; each has an environment of its own, made once in the
user's cache folder. The model is a logistic regression on 20 numbers, so the path is what is
measured; then a random forest of 200 trees, so the batches are. The load comes from wrk
(``apt-get install wrk``), else from `benchmarks/load.py`.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median

import psutil
from calling import load, tool
from contestants import (
    PARTS,
    Target,
    cpu_seconds,
    floor_us,
    handwritten,
    leadsman,
    peer,
    postgres,
    train,
)
from peers.environments import environment
from peers.servers import PEERS
from serving_goals import FOREST_CONNECTIONS, Seen, forest_goals, goals, verdicts
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

CONNECTIONS = (1, 16, 64)


def measure(target: Target, connections: int, seconds: float) -> dict[str, float]:
    """Load one server once."""
    load(target.call, connections, 1)
    before = cpu_seconds(target.process)
    figures = load(target.call, connections, seconds)
    used = {
        part: spent - before.get(part, 0.0) for part, spent in cpu_seconds(target.process).items()
    }
    if figures.errors or not figures.requests:
        raise SystemExit(f"{target.name}: {figures.errors} errors in {figures.requests} answers")
    told = {name: getattr(figures, name) for name in ("per_second", "p50_ms", "p99_ms")}
    told["cpu_us"] = sum(used.values()) / figures.requests * 1e6
    if target.parts:
        told |= {f"cpu_us_{part}": used[part] / figures.requests * 1e6 for part in used}
    return told


def rounds(
    targets: list[Target], turns: int, seconds: float, loads: tuple[int, ...] = CONNECTIONS
) -> Seen:
    """Measure every server at every load, in turns, so that the machine's moods hit all alike."""
    seen: dict[tuple[str, int], list[dict[str, float]]] = {}
    for turn in range(turns):
        for connections in loads:
            for target in targets:
                one = measure(target, connections, seconds)
                seen.setdefault((target.name, connections), []).append(one)
                told = f"turn {turn + 1}: {target.name} at {connections}: {one['per_second']:.0f}/s"
                print(told, file=sys.stderr)
    found: Seen = {}
    for (name, connections), runs in seen.items():
        figures = {key: median(run.get(key, 0.0) for run in runs) for key in runs[0]}
        found.setdefault(name, {})[connections] = figures
    return found


def ratios(found: Seen, connections: int, ours: str = "leadsman") -> dict[str, float]:
    """Our requests a second over those of each other server."""
    rate = found[ours][connections]["per_second"]
    others = [name for name in found if not name.startswith("leadsman")]
    return {name: rate / found[name][connections]["per_second"] for name in others}


def table(found: Seen) -> str:
    """Lay the figures out for people."""
    lines = [f"{'server':22}{'conns':>6}{'req/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU µs/req':>12}"]
    for name, loads in found.items():
        for connections, one in loads.items():
            parts = [
                f"{part} {one[f'cpu_us_{part}']:.0f}" for part in PARTS if f"cpu_us_{part}" in one
            ]
            lines.append(
                f"{name:22}{connections:6d}{one['per_second']:9.0f}{one['p50_ms']:9.2f}"
                f"{one['p99_ms']:9.2f}{one['cpu_us']:12.0f}  {', '.join(parts)}".rstrip()
            )
    return "\n".join(lines)


def path(folder: Path, peers: list[str], turns: int, seconds: float) -> Seen:
    """Measure everybody with the cheap model."""
    model = folder / "linear.joblib"
    train(model, LogisticRegression())
    with ExitStack() as stack:
        enter = stack.enter_context
        servers = [
            enter(handwritten("echo", "asgi_echo", model)),
            enter(handwritten("fastapi", "handwritten_fastapi", model)),
        ]
        url = enter(postgres(folder / "by_hand"))
        servers.append(enter(handwritten("insert", "handwritten_insert", model, url)))
        servers += [enter(peer(name, folder, model)) for name in peers]
        ours = {"leadsman": "journal", "leadsman_before": "before"}
        servers += enter(leadsman(folder / "data", model, ours, {}))
        cache = {"SERVING_CACHE_BYTES": str(2**24)}
        servers += enter(leadsman(folder / "cached", model, {"leadsman_cached": "journal"}, cache))
        return rounds(servers, turns, seconds)


def batches(folder: Path, peers: list[str], turns: int, seconds: float) -> tuple[Seen, float]:
    """Measure some with the dear model; also gives the CPU time of a row in full batches."""
    model = folder / "forest.joblib"
    train(model, RandomForestClassifier(200, max_depth=10, random_state=3, n_jobs=1))
    with ExitStack() as stack:
        enter = stack.enter_context
        servers = [enter(handwritten("fastapi", "handwritten_fastapi", model))]
        servers += [enter(peer("mosec", folder, model)) for name in peers if name == "mosec"]
        servers += enter(leadsman(folder / "data", model, {"leadsman": "journal"}, {}))
        return rounds(servers, turns, seconds, FOREST_CONNECTIONS), floor_us(model, 64)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--peers", nargs="*", choices=list(PEERS), default=list(PEERS), help="all by default"
    )
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    asked = parser.parse_args()
    for name in asked.peers:
        environment(name)
    with (
        tempfile.TemporaryDirectory(prefix="leadsman-bench-") as linear,
        tempfile.TemporaryDirectory(prefix="leadsman-bench-") as dear,
    ):
        found = path(Path(linear), asked.peers, asked.turns, asked.seconds)
        forest, floor = batches(Path(dear), asked.peers, asked.turns, asked.seconds)
    print(table(found))
    for connections in CONNECTIONS:
        told = ", ".join(f"{v:.2f} × {n}" for n, v in ratios(found, connections).items())
        print(f"leadsman at {connections} connections: {told}")
    print(f"\nforest (a row in full batches alone: {floor:.0f} µs)\n{table(forest)}\n")
    reached = goals(found) | forest_goals(forest, floor)
    print(verdicts(reached))
    if asked.json:
        figures = {
            "command": "python benchmarks/serving.py --json benchmarks/results/serving.json",
            "load_generator": f"{tool()}, on the same machine",
            "python": platform.python_version(),
            "cores": psutil.cpu_count(),
            "load_average": os.getloadavg()[0],
            "turns": asked.turns,
            "seconds": asked.seconds,
            **{
                f"ratio_at_{connections}": ratios(found, connections) for connections in CONNECTIONS
            },
            "goals": {name: {**asdict(one), "met": one.is_met} for name, one in reached.items()},
            "servers": found,
            "forest": {"floor_us": floor, "servers": forest},
        }
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    if any(one.is_met is False for one in reached.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
