"""What a watch makes of a subject and its reference: armed, learning or refused."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drift.diagnostics import design_effect, recommend_block, refusal
from drift.errors import DriftError, InsufficientDataError
from drift.means.reference import upper_limit
from drift.streaming.river_adapter import OF_ERRORS
from monitor.evidence import Sums
from monitor.records import Json, Watch
from monitor.settings import Tier
from monitor.signals.canary import LEAST_SHARE
from monitor.watches.watch import (
    DEFAULT_WATCHES,
    OF_A_LIMIT,
    WatchSettings,
    head_start_of,
    settings_of,
)


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a watch makes of a subject: armed, learning or refused."""

    status: str
    reason: str | None
    parameters: Json


def resolve(watch: Watch, task: str, reference: Sequence[float] | None) -> Resolved | None:
    """Fix the parameters of a watch for one subject.

    Parameters
    ----------
    watch
        The watch; its settings were checked when it was made.
    task
        binary, multiclass or regression.
    reference : shape (n,)
        Losses of the subject on its reference rows, in time order; none where it has no reference
        with labels and outputs.

    Returns
    -------
    Resolved or None
        None where the watch is not about such a subject: one needs a reference, another is for
        versions without.
    """
    settings = settings_of(watch)
    losses = None if reference is None or len(reference) == 0 else np.asarray(reference, np.float64)
    clip = _clip(settings, task, losses)
    common: Json = {"clip": clip}
    if watch.detector in OF_A_LIMIT:
        return _bounded_mean(watch, settings, losses, clip)
    if watch.detector == "growing-pool":
        return _growing_pool(watch, settings, losses, task)
    if watch.detector in OF_ERRORS and task == "regression":
        said = f"{watch.detector} counts wrong answers, and a regression has none: take adwin."
        return Resolved("refused", said, {})
    if clip is None:
        return Resolved(
            "refused",
            "A regression watch needs the setting clip, or reference rows with "
            "labels and outputs from which to take it.",
            {},
        )
    if watch.detector == "paired-excess":
        paired = {"margin": settings.margin, "head_start": settings.head_start}
        return Resolved("armed", None, common | paired | _unit_of_pairs(settings))
    if watch.detector.startswith("randomised"):
        row: Json = {
            "floor": LEAST_SHARE,
            "unit": "row",
            "unit_reason": "Each row is one step: chance dealt it, with the recorded share.",
        }
        if watch.detector == "randomised-excess":
            row |= {"margin": settings.margin, "head_start": settings.head_start}
        else:
            row |= {"eps": settings.eps, "alpha": settings.alpha}
        return Resolved("armed", None, common | row)
    if watch.detector == "paired-promotion":
        return Resolved(
            "armed",
            None,
            common
            | {
                "eps": settings.eps,
                "alpha": settings.alpha,
                "unit": "row",
                "unit_reason": "Each row is one step: the null is about each difference given "
                "all before.",
            },
        )
    block = settings.block if isinstance(settings.block, int) else 1
    unit = f"block of {block} rows" if block > 1 else "row"
    own = {"delta": settings.delta} if watch.detector == "adwin" else {}
    return Resolved("armed", None, common | own | {"block": block, "unit": unit})


def _growing_pool(
    watch: Watch, settings: WatchSettings, losses: NDArray[np.float64] | None, task: str
) -> Resolved | None:
    if losses is None and task != "regression":
        return Resolved(
            "learning",
            f"{settings.learn} more labels are needed for the centre.",
            {"clip": 1.0, "learn": settings.learn, "head_start": settings.head_start},
        )
    # The usual watch of versions without a reference has nothing to say of others.
    if any(form.name == watch.name for form in DEFAULT_WATCHES) and settings.segments is None:
        return None
    if losses is not None:
        return Resolved(
            "refused",
            "There are reference rows of this, and growing-pool is for what has none: let "
            "bounded-mean compare with them.",
            {},
        )
    return Resolved(
        "refused",
        "Without a reference only 0/1 losses can be watched by growing-pool; this is a "
        "regression: let bounded-mean learn from its first rows.",
        {},
    )


def _unit_of_pairs(settings: WatchSettings) -> Json:
    if isinstance(settings.block, int):
        unit = f"block of {settings.block} rows" if settings.block > 1 else "row"
        return {"block": settings.block, "unit": unit, "unit_reason": "Set by an operator."}
    return {
        "block": 1,
        "unit": "row",
        "unit_reason": "No trial told how the differences depend on each other. Each row is one "
        "step: the null is about each difference given all before, until the first "
        f"{FIRST_LOOK} tell the unit.",
        "look_at": FIRST_LOOK,
    }


FIRST_LOOK = 1_000
"""Differences of two versions after which a comparison without a trial is looked at."""


def _clip(settings: WatchSettings, task: str, losses: NDArray[np.float64] | None) -> float | None:
    if task != "regression":
        return 1.0
    if settings.clip is not None or losses is None:
        return settings.clip
    return float(np.quantile(losses, 0.995)) or None


def _bounded_mean(
    watch: Watch, settings: WatchSettings, losses: NDArray[np.float64] | None, clip: float | None
) -> Resolved | None:
    if losses is None and settings.limit is None:
        return None
    if clip is None:
        return Resolved("refused", "A regression watch needs the setting clip.", {})
    scaled = None if losses is None else np.minimum(losses / clip, 1.0)
    try:
        block, why = choose_block(settings, scaled, watch.tier)
    except DriftError as error:
        return Resolved("refused", f"No block could be chosen: {error}.", {"clip": clip})
    parameters: Json = {
        "clip": clip,
        "block": block,
        "unit": f"block of {block} rows" if block > 1 else "row",
        "unit_reason": why,
        "head_start": head_start_of(watch),
    }
    if scaled is not None:
        parameters |= _about(scaled)
    if watch.tier is Tier.ROLLBACK:
        sentence = refuse_dependence(settings, scaled, block)
        if sentence is not None:
            return Resolved("refused", sentence, parameters)
    limit = settings.limit
    if limit is None and scaled is not None:
        whole = len(scaled) // block * block
        if whole // block < MIN_BLOCKS:
            return Resolved(
                "refused",
                f"The reference has {len(scaled)} rows, which is {whole // block} blocks of "
                f"{block}; at least {MIN_BLOCKS} are needed.",
                parameters,
            )
        means = scaled[:whole].reshape(-1, block).mean(axis=1)
        limit = upper_limit(means, confidence=settings.confidence, tolerance=settings.tolerance)
        parameters |= {"confidence": settings.confidence, "tolerance": settings.tolerance}
        parameters |= about_steps(means)
    assert limit is not None
    if not 0 < limit < MAX_LIMIT:
        return Resolved(
            "refused",
            f"The limit of the mean loss would be {limit:.3g}: too high to be exceeded.",
            parameters,
        )
    return Resolved("armed", None, parameters | {"limit": float(limit)})


MIN_BLOCKS = 10
"""Fewer blocks say nothing about the mean of the next."""
MAX_LIMIT = 0.95
"""A limit above it leaves no room for a worse mean."""


def _about(losses: NDArray[np.float64]) -> Json:
    known: Json = {"reference_rows": len(losses), "reference_mean": float(losses.mean())}
    try:
        effect = design_effect(losses)
    except DriftError as error:
        return known | {"design_effect": None, "design_effect_reason": str(error)}
    return known | {
        "design_effect": _plain(effect.value),
        "design_effect_upper": _plain(effect.upper),
    }


def about_steps(steps: NDArray[np.float64]) -> Json:
    """What is kept of normal steps, to tell a change from.

    Parameters
    ----------
    steps : shape (n,)
        As the test takes them: rows or means of blocks.
    """
    return {
        "reference_steps": len(steps),
        "reference_total": float(steps.sum()),
        "reference_squares": float(np.square(steps).sum()),
    }


def reference_sums(parameters: Json) -> Sums:
    """The same as sums; of nothing where nothing is kept."""
    names = ("reference_steps", "reference_total", "reference_squares")
    return Sums(*(parameters[name] for name in names)) if names[0] in parameters else Sums()


def refuse_dependence(
    settings: WatchSettings, losses: NDArray[np.float64] | None, block: int
) -> str | None:
    if losses is None:
        return (
            None
            if settings.block is not None or settings.unit is not None
            else (
                "The limit is given, but nothing says how rows depend on each other: "
                "give reference rows, or set block."
            )
        )
    try:
        return refusal(losses, block=block if block > 1 else None)
    except DriftError as error:
        return f"The reference does not tell how rows depend on each other: {error}."


def choose_block(
    settings: WatchSettings, losses: NDArray[np.float64] | None, tier: Tier
) -> tuple[int, str]:
    if isinstance(settings.block, int):
        return settings.block, "Set by an operator."
    if settings.block is None or losses is None:
        return 1, "No block is set: rows are taken as they come."
    try:
        block = recommend_block(losses)
        effect = design_effect(losses)
    except InsufficientDataError:
        if tier is Tier.ROLLBACK:
            raise
        block = max(1, len(losses) // MIN_BLOCKS)
        return block, (
            f"The reference's {len(losses)} rows are too few to tell which blocks are independent: "
            f"the largest are taken of which it holds {MIN_BLOCKS}, and the promise holds as far "
            f"as "
            "its assumption does."
        )
    if block is None or block <= 1:
        return 1, (
            f"The reference's design effect is at most {effect.upper:.2f}: "
            "rows hardly depend on each other."
        )
    return block, (
        f"Neighbouring reference rows depend on each other (design effect {effect.value:.1f}, "
        f"at most {effect.upper:.1f}): the mean of {block} rows is one observation."
    )


def _plain(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


OF_A_GATE = ("opened_by", "opener", "patience")
"""Settings of a watch that its confirm gate takes as they are."""


def detector_settings(watch: Watch, parameters: Json, seed: int) -> Json:
    """Settings of the detector in drift.catalog."""
    match parameters.get("detector", watch.detector):
        case "bounded-mean" | "confirm-gate" as kind:
            return {
                "limit": parameters["limit"],
                # A mean of many rows stays close to its expectation: bolder stakes are right.
                "averaged": parameters["block"] > 1 or "unit_key" in parameters,
                **(
                    {"head_start": parameters["head_start"]}
                    if kind == "bounded-mean"
                    else {name: getattr(settings_of(watch), name) for name in OF_A_GATE}
                ),
            }
        case "growing-pool":
            return {
                "centre": parameters["centre"],
                "head_start": parameters["head_start"],
                "seed": seed,
            }
        case "numeric-ranks":
            return {"edges": parameters["edges"], "seed": seed}
        case "categorical-ranks":
            return {"shares": parameters["shares"], "seed": seed}
        case "two-sided-mean":
            return {name: parameters[name] for name in ("least", "most", "head_start")}
        case "paired-excess":
            start = 0.0 if parameters.get("begun") else parameters["head_start"]
            return {"margin": parameters["margin"], "head_start": start}
        case "randomised-excess":
            return {name: parameters[name] for name in ("margin", "floor", "head_start")}
        case "paired-promotion":
            return {"eps": parameters["eps"], "alpha": parameters["alpha"]}
        case "randomised-promotion":
            return {name: parameters[name] for name in ("eps", "alpha", "floor")}
        case "tolerant-ranks":
            return {name: parameters[name] for name in ("quantiles", "limits")}
        case "adwin":
            return {"delta": parameters["delta"]}
        case _:
            return {}


def detector_name(watch: Watch, parameters: Json) -> str:
    """Name in drift.catalog: a watch of ranks takes those that fit its values."""
    return str(parameters.get("detector", watch.detector))
