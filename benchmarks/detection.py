"""How soon do the detectors find a change, and is anything else as fast at the same false alarms?

Run ``python benchmarks/detection.py [--peers evidently nannyml frouros] [--json FILE]``. Ours
beside river's, a windowed KS test and PSI, and packages that need an environment of their own,
which is made for them; with the exact optimum for a change known in advance; then the targets for
delay. About ten minutes of one core; ``--scale 0.1`` runs a tenth of the streams. A contestant as
fast as ours or faster, at no more false alarms, is marked. Each finished line is kept in the
``--state`` file: Ctrl-C, and the same command goes on.
"""

import argparse
import json
import platform
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from optimum import Optimum, of_errors, of_mean, of_variance
from race import environments, error_rates, features, outside
from race.contest import Contestant, Delay, FalseAlarms
from race.targets import Target, targets
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from suite.scenario import poisson_interval

SEED = 20261123
"""Seed of the run; each measurement has a generator from it and its own name."""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a table."""

    name: str
    allowed: float | None
    """Rows to a false alarm that it promises, where it is ours."""
    quiet: FalseAlarms
    delays: dict[str, Delay]
    """By change."""


def generator(*names: str) -> np.random.Generator:
    """Return the generator of one measurement."""
    return np.random.default_rng([SEED, zlib.crc32(" ".join(names).encode())])


def read_state(path: Path) -> dict[str, Result]:
    """Return the lines that an earlier run finished; none if another seed made them."""
    if not path.exists():
        return {}
    saved = json.loads(path.read_text())
    if saved["seed"] != SEED:
        raise SystemExit(f"{path} was made with seed {saved['seed']}, expected {SEED}: remove it")
    return {key: result_of(line) for key, line in saved["lines"].items()}


def write_state(path: Path, kept: Mapping[str, Result]) -> None:
    """Replace the state file in one step: an interrupted write leaves the old one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    lines = {name: asdict(result) for name, result in kept.items()}
    new.write_text(json.dumps({"seed": SEED, "lines": lines}))
    new.replace(path)


def result_of(line: Mapping[str, Any]) -> Result:
    """Read one line of the state file."""
    delays = {change: Delay(**delay) for change, delay in line["delays"].items()}
    return Result(line["name"], line["allowed"], FalseAlarms(**line["quiet"]), delays)


def race(
    scale: float, peers: Mapping[str, Path], state: Path, progress: Progress
) -> tuple[list[Result], list[Result]]:
    """Run all contestants of both tables that the state file lacks."""
    kept = read_state(state)
    streaming = outside.STREAMING if "frouros" in peers else {}
    total = len(error_rates.CONTESTANTS) + len(features.CONTESTANTS) + len(peers) + len(streaming)
    task = progress.add_task("", total=total)
    rates, shapes = [], []

    def done(table: str, titles: list[str], measure: Callable[[], list[Result]]) -> list[Result]:
        progress.update(task, description=titles[0])
        # Both tables have lines of the same name.
        if not all(f"{table}: {title}" in kept for title in titles):
            kept.update({f"{table}: {result.name}": result for result in measure()})
            write_state(state, kept)
        progress.advance(task)
        return [kept[f"{table}: {title}"] for title in titles]

    for contestant in error_rates.CONTESTANTS:
        rates += done("errors", [contestant.name], partial(of_rates, contestant, scale))
    for name, title in streaming.items():
        rates += done("errors", [title], partial(of_frouros, peers["frouros"], name, title))
    for contestant in features.CONTESTANTS:
        shapes += done("features", [contestant.name], partial(of_shapes, contestant, scale))
    for package, python in peers.items():
        titles = outside.titles(package)
        shapes += done("features", titles, partial(of_windows, package, python))
    return rates, shapes


def of_rates(contestant: Contestant, scale: float) -> list[Result]:
    """Measure one line of the first table."""
    quiet = error_rates.null(contestant, scale, generator(contestant.name, "null"))
    found = {
        f".10 to .{round(after * 100):02d}": error_rates.found(
            contestant, after, scale, generator(contestant.name, str(after))
        )
        for after in error_rates.AFTER
    }
    return [Result(contestant.name, contestant.allowed, quiet, found)]


def of_shapes(contestant: Contestant, scale: float) -> list[Result]:
    """Measure one line of the second table."""
    quiet = features.null(contestant, scale, generator(contestant.name, "null"))
    found = {
        change: features.found(contestant, change, scale, generator(contestant.name, change))
        for change in features.CHANGES
    }
    return [Result(contestant.name, contestant.allowed, quiet, found)]


def of_frouros(python: Path, name: str, title: str) -> list[Result]:
    """Measure one of frouros' detectors."""
    quiet, found = outside.streaming(python, name, generator("frouros", name))
    return [Result(title, None, quiet, found)]


def of_windows(package: str, python: Path) -> list[Result]:
    """Measure both lines of a package that compares windows."""
    lines = outside.windowed(package, python, generator(package))
    return [Result(title, None, quiet, found) for title, (quiet, found) in lines.items()]


def optima() -> tuple[dict[str, dict[str, Optimum]], dict[str, Optimum]]:
    """Return the exact optima of the first table by run length, and those of the second."""
    rates = {
        f"{run_length:.0e}": {
            f".10 to .{round(after * 100):02d}": of_errors(error_rates.BEFORE, after, run_length)
            for after in error_rates.AFTER
        }
        for run_length in (1e5, 1e7)
    }
    each = features.RUN_LENGTH * features.FEATURES
    shapes = {
        change: of_mean(shift, each) if shift else of_variance(variance, each)
        for change, (shift, variance) in features.CHANGES.items()
    }
    return rates, shapes


def as_fast(result: Result, results: Sequence[Result]) -> dict[str, list[str]]:
    """Return which of ours this contestant matches or beats, by change: by the median delay.

    It is held against ours of the strictest promise that its own false alarms do not refute: those
    that gave none in this run count as keeping any.
    """
    if result.allowed:
        return {}
    fewest, _ = poisson_interval(result.quiet.alarms)
    levels = {r.allowed for r in results if r.allowed}
    kept = [level for level in levels if fewest <= result.quiet.rows / level]
    if not kept:
        return {}
    ours = [r for r in results if r.allowed == max(kept)]
    matched = {
        change: [r.name for r in ours if delay.median <= r.delays[change].median]
        for change, delay in result.delays.items()
        if np.isfinite(delay.median)
    }
    return {change: names for change, names in matched.items() if names}


def show(
    title: str,
    results: Sequence[Result],
    best: Mapping[str, Mapping[str, Optimum]],
    console: Console,
) -> None:
    """Print one table: median (mean) delays in rows, and the share missed."""
    table = Table(title=title, title_justify="left")
    table.add_column("detector")
    changes = list(results[0].delays)
    for column in ("false alarms in 50,000", *changes, "µs a row"):
        table.add_column(column, justify="right")
    for name, by_change in best.items():
        cells = [
            f"{o.mean_delay:.0f}"
            if np.isnan(o.median_delay)
            else f"{o.median_delay:.0f} ({o.mean_delay:.0f})"
            for o in (by_change[change] for change in changes)
        ]
        table.add_row(f"[bold]exact optimum, A = {name}", "", *cells, "")
    for result in results:
        fast = as_fast(result, results)
        cells = []
        for change, delay in result.delays.items():
            text = f"{delay.median:.0f} ({delay.mean:.0f})" if np.isfinite(delay.median) else "-"
            missed = f" {delay.missed:.0%} missed" if delay.missed > 0.0 else ""
            cells.append(text + missed + (" *" if change in fast else ""))
        color = "[green]" if result.allowed is not None else ""
        table.add_row(
            color + result.name,
            f"{result.quiet.per_50k:.2f}",
            *cells,
            f"{result.quiet.microseconds:.2g}",
        )
    console.print(table)
    console.print(
        "Median (mean) rows to the alarm. * as soon as one of ours or sooner, at a rate of false\n"
        "alarms that does not refute our promise: ours are granted theirs, others' are measured."
    )


def plain(value: object) -> object:
    """Return what JSON can carry: NaN and infinity become null, figures four digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    return value


def lines(results: Sequence[Result]) -> dict[str, object]:
    """Return a table by name."""
    return {
        result.name: {
            "ours": result.allowed is not None,
            "null": asdict(result.quiet),
            "delays": {change: asdict(delay) for change, delay in result.delays.items()},
            "as_fast_as": as_fast(result, results),
        }
        for result in results
    }


def show_targets(found: Sequence[Target], console: Console) -> None:
    """Print the targets, met or missed."""
    table = Table(title="Targets", title_justify="left")
    for column in ("", "what", "figure", "at most", ""):
        table.add_column(column)
    for target in found:
        word = "" if target.most == np.inf else "[green]met" if target.met else "[red]MISSED"
        figure, most = f"{target.figure:.4g}", f"{target.most:.4g}".replace("inf", "")
        table.add_row(target.identifier, target.what, figure, most, word)
    console.print(table)


def peers_that_install(names: Sequence[str], console: Console) -> dict[str, Path]:
    """Return the interpreter of each package; one that does not install is named and left out."""
    found = {}
    for name in names:
        try:
            found[name] = environments.environment(name)
        except SystemExit as error:
            console.print(f"{name} does not install: {error}")
    return found


def main() -> int:
    """Run the race; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the streams to run")
    parser.add_argument(
        "--peers",
        nargs="*",
        choices=list(outside.WINDOWED),
        default=[],
        help="also run these packages, each in an environment that is made for it once",
    )
    parser.add_argument("--state", type=Path, default=Path("build/detection-state.json"))
    arguments = parser.parse_args()
    if not arguments.scale > 0.0:
        parser.error(f"--scale: expected a number above 0, got {arguments.scale}")
    console = Console()
    peers = peers_that_install(arguments.peers, console)
    began = time.process_time()
    best_rates, best_shapes = optima()
    columns = (TextColumn("{task.description:<46}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console) as progress:
        rates, shapes = race(arguments.scale, peers, arguments.state, progress)
    pool = next(r for r in rates if r.name.startswith("growing pool"))
    found = targets(
        pool_delays=pool.delays,
        pool_optima=best_rates["1e+05"],
        feature_delays={r.name: r.delays for r in shapes},
        feature_optima=best_shapes,
        scale=arguments.scale,
        rng=generator("targets"),
    )
    cpu = time.process_time() - began
    show("Errors at .10 that rise after 5,000 rows", rates, best_rates, console)
    each = f"{features.RUN_LENGTH * features.FEATURES:.0e} a feature"
    show("Twenty normal features, one changes", shapes, {each: best_shapes}, console)
    show_targets(found, console)
    console.print(f"seed {SEED}, {cpu:.0f} CPU-seconds")
    if arguments.json:
        figures = {
            "command": f"python benchmarks/detection.py --scale {arguments.scale:g} "
            f"--peers {' '.join(peers)} --json FILE",
            "seed": SEED,
            "cpu_seconds": cpu,
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("numpy", "scipy", "river")}
            | {name: environments.REQUIREMENTS[name][0].partition("==")[2] for name in peers},
            "optimum_errors": {
                name: {change: asdict(o) for change, o in by_change.items()}
                for name, by_change in best_rates.items()
            },
            "optimum_features": {change: asdict(o) for change, o in best_shapes.items()},
            "errors": lines(rates),
            "features": lines(shapes),
            "targets": {t.what: {**asdict(t), "met": t.met} for t in found},
        }
        arguments.json.write_text(json.dumps(plain(figures), indent=2, ensure_ascii=False) + "\n")
    return int(not all(target.met for target in found))


if __name__ == "__main__":
    sys.exit(main())
