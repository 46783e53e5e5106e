"""Do the detectors keep their promise: at most the false alarms they were granted?

Run ``python benchmarks/promise.py [--json FILE]``. Every scenario feeds null rows to detectors as
shipped and counts their alarms against what was granted, at least 1,000 false alarms allowed in
each of those whose assumption holds. About ten minutes of one core; ``--scale 0.1`` runs a tenth.
What is done is kept after every batch in the ``--state`` file: Ctrl-C, and the same command goes
on.

Exits with 1 if a scenario whose assumption holds is above 1.05 of what was granted and not by
chance.
"""

import argparse
import json
import math
import platform
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from suite import dependence, features, hazards, labels, means, reductions, releases
from suite.scenario import CONFIDENCE, MOST, SEED, Count, Scenario, Verdict, generator, verdict

SCENARIOS: tuple[Scenario, ...] = (
    *means.SCENARIOS,
    *dependence.SCENARIOS,
    *labels.SCENARIOS,
    *reductions.SCENARIOS,
    *releases.SCENARIOS,
    *features.SCENARIOS,
    *hazards.SCENARIOS,
)

Kept = dict[str, list[Count]]
"""Batches done, by scenario."""


def read_state(path: Path) -> tuple[Kept, float]:
    """Return what an earlier run did and its CPU seconds; nothing if another seed made it."""
    if not path.exists():
        return {}, 0.0
    saved = json.loads(path.read_text())
    if saved["seed"] != SEED:
        raise SystemExit(f"{path} was made with seed {saved['seed']}, expected {SEED}: remove it")
    kept = {name: [Count(*count) for count in counts] for name, counts in saved["counts"].items()}
    return kept, float(saved["cpu_seconds"])


def write_state(path: Path, kept: Kept, cpu_seconds: float) -> None:
    """Replace the state file in one step: an interrupted write leaves the old one."""
    counts = {
        name: [[count.rows, count.allowed, count.alarms] for count in done]
        for name, done in kept.items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"seed": SEED, "cpu_seconds": cpu_seconds, "counts": counts}))
    new.replace(path)


def run(wanted: Sequence[Scenario], scale: float, state: Path, console: Console) -> float:
    """Run the batches that are missing; return the CPU seconds of all runs together."""
    kept, before = read_state(state)
    began = time.process_time()
    columns = (TextColumn("{task.description:<46}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console) as progress:
        whole = progress.add_task("all", total=sum(batches(s, scale) for s in wanted))
        for scenario in wanted:
            done = kept.setdefault(scenario.name, [])
            task = progress.add_task(scenario.name, total=batches(scenario, scale))
            progress.update(task, completed=min(len(done), batches(scenario, scale)))
            progress.update(whole, advance=min(len(done), batches(scenario, scale)))
            for number in range(len(done), batches(scenario, scale)):
                done.append(scenario.batch(generator(scenario.name, number)))
                write_state(state, kept, before + time.process_time() - began)
                progress.update(task, advance=1)
                progress.update(whole, advance=1)
            progress.remove_task(task)
    return before + time.process_time() - began


def batches(scenario: Scenario, scale: float) -> int:
    """Batches to run at this scale, at least two."""
    return max(math.ceil(scenario.batches * scale), 2)


def show(verdicts: Mapping[str, Verdict], wanted: Sequence[Scenario], console: Console) -> None:
    """Print the table for people."""
    for holds, title in (
        (True, "The assumption holds: realised false alarms over those allowed"),
        (False, "The assumption does not hold: what its remedy is for"),
    ):
        table = Table(title=title, title_justify="left")
        for column in ("scenario", "rows", "allowed", "alarms", "ratio", "95 % interval", ""):
            justify = "left" if column in ("scenario", "") else "right"
            table.add_column(column, justify=justify, no_wrap=column == "ratio")  # type: ignore[arg-type]
        for scenario in wanted:
            if scenario.holds != holds:
                continue
            seen = verdicts[scenario.name]
            word = ("BROKEN" if seen.broken else "kept") if holds else ""
            table.add_row(
                scenario.name,
                f"{seen.rows:.1e}",
                f"{seen.allowed:,.0f}",
                f"{seen.alarms:,}",
                f"{seen.ratio:.3g}",
                f"{seen.lower:.3g} to {seen.upper:.3g}",
                word,
            )
        if table.row_count:
            console.print(table)


def report(
    verdicts: Mapping[str, Verdict], wanted: Sequence[Scenario], scale: float, cpu: float
) -> dict[str, Any]:
    """Return the same figures by name."""
    return {
        "command": f"python benchmarks/promise.py --scale {scale:g} --json FILE",
        "seed": SEED,
        "confidence": CONFIDENCE,
        "cpu_seconds": round(cpu, 1),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "kept": not any(verdicts[s.name].broken for s in wanted if s.holds),
        "scenarios": {
            scenario.name: {
                "assumption_holds": scenario.holds,
                "story": scenario.story,
                "batches": batches(scenario, scale),
                **{
                    name: round(value, 4) if isinstance(value, float) else value
                    for name, value in asdict(verdicts[scenario.name]).items()
                },
            }
            for scenario in wanted
        },
    }


def merged(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """Return the figures of an earlier run with those of this one in their place."""
    if before["seed"] != now["seed"]:
        raise SystemExit(f"the JSON file was made with seed {before['seed']}, not {now['seed']}")
    found = before["scenarios"] | now["scenarios"]
    now["scenarios"] = {s.name: found[s.name] for s in SCENARIOS if s.name in found}
    now["cpu_seconds"] = round(before["cpu_seconds"] + now["cpu_seconds"], 1)
    now["kept"] = not any(
        one["assumption_holds"] and one["ratio"] > MOST and one["lower"] > 1.0
        for one in found.values()
    )
    return now


def main() -> int:
    """Run the suite; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full suite to run")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="TEXT",
        help="run scenarios whose name contains this, and keep the others of the JSON file; "
        "may be repeated",
    )
    parser.add_argument("--state", type=Path, default=Path("build/promise-state.json"))
    arguments = parser.parse_args()
    if not arguments.scale > 0.0:
        parser.error(f"--scale: expected a number above 0, got {arguments.scale}")
    for text in arguments.only:
        if not any(text in scenario.name for scenario in SCENARIOS):
            parser.error(f"--only: no scenario's name contains {text!r}")
    wanted = [s for s in SCENARIOS if any(text in s.name for text in arguments.only or [""])]
    console = Console()
    try:
        cpu = run(wanted, arguments.scale, arguments.state, console)
    except KeyboardInterrupt:
        console.print(f"stopped; the same command goes on from {arguments.state}")
        return 130
    kept, _ = read_state(arguments.state)
    verdicts = {s.name: verdict(kept[s.name][: batches(s, arguments.scale)]) for s in wanted}
    show(verdicts, wanted, console)
    console.print(f"seed {SEED}, {cpu:.0f} CPU-seconds")
    if arguments.json:
        figures = report(verdicts, wanted, arguments.scale, cpu)
        if arguments.only and arguments.json.exists():
            figures = merged(json.loads(arguments.json.read_text()), figures)
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return int(any(verdicts[s.name].broken for s in wanted if s.holds))


if __name__ == "__main__":
    sys.exit(main())
