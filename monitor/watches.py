"""Watches: their settings, the ones that exist without a word, and what a reference makes of
them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from drift.diagnostics import design_effect, recommend_block, refusal
from drift.errors import DriftError, InsufficientDataError
from drift.means.reference import upper_limit
from monitor.moments import YEAR_US
from monitor.records import Json, Watch
from monitor.settings import Mode, Tier
from monitor.signals import CHALLENGER_DIFFERENCE, LOSS, LOSS_DIFFERENCE

Fraction = Annotated[float, Field(gt=0, lt=1)]


class WatchSettings(BaseModel):
    """What can be set for one watch."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    limit: Fraction | None = None
    """Mean loss that is accepted, in the unit of the clipped loss; learned from the reference when
    absent."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Added to the upper limit of the reference's mean loss: harm too small to alarm about."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """With which the reference's mean loss lies below its upper limit."""
    block: Annotated[int, Field(ge=1)] | Literal["recommended"] | None = None
    """Rows whose mean is one observation; "recommended" takes what the reference's dependence asks
    for."""
    clip: Annotated[float, Field(gt=0)] | None = None
    """Regression: losses above it count as it; the 99.5 % point of the reference's loss when
    absent."""
    head_start: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """False alarms allowed at the start of each subject, beside the yearly budget: new versions are
    suspect."""
    margin: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Paired tests: how much worse the new version may be."""
    eps: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Promotion: the challenger is not worse by so much; at 0 it is better."""
    alpha: Fraction = 0.05
    """Promotion: probability of promoting a challenger that is not."""
    learn: Annotated[int, Field(ge=50)] = 500
    """Without a reference: labels from which the centre is learned before the test begins."""
    delta: Fraction = 0.002
    """adwin: its parameter; no false alarm rate follows from it."""


@dataclass(frozen=True, slots=True)
class WatchForm:
    """A watch before it has a number."""

    name: str
    signal: str
    detector: str
    tier: Tier
    remedy: str
    settings: Json
    rule: list[Json] | None = None


DEFAULT_WATCHES = (
    WatchForm("loss", LOSS, "bounded-mean", Tier.PAGE, "notify", {"block": "recommended"}),
    WatchForm(
        "loss_rollback", LOSS, "bounded-mean", Tier.ROLLBACK, "roll_back", {"block": "recommended"}
    ),
    WatchForm("loss_without_reference", LOSS, "growing-pool", Tier.PAGE, "notify", {}),
    WatchForm("loss_difference", LOSS_DIFFERENCE, "paired-excess", Tier.ROLLBACK, "roll_back", {}),
    WatchForm(
        "challenger_better", CHALLENGER_DIFFERENCE, "paired-promotion", Tier.PAGE, "promote", {}
    ),
    WatchForm("loss_adwin", LOSS, "adwin", Tier.INFO, "notify", {}),
)
"""What every application is watched by without a word."""

DETECTORS = {
    LOSS: ("bounded-mean", "growing-pool", "adwin"),
    LOSS_DIFFERENCE: ("paired-excess",),
    CHALLENGER_DIFFERENCE: ("paired-promotion",),
}
"""Which detectors fit which signal."""
GUARANTEED = frozenset({"bounded-mean", "growing-pool", "paired-excess", "paired-promotion"})
"""Detectors whose false alarms are bounded; any other may inform or page, never act."""
REMEDIES = ("notify", "roll_back", "promote", "stop_canary")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a watch makes of a subject: armed, learning or refused."""

    status: str
    reason: str | None
    parameters: Json


def kind_of(watch: Watch) -> str:
    """What an alarm of the watch says went wrong; alarms of one kind and subject are one alert."""
    return "challenger_better" if watch.remedy == "promote" else watch.signal


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
    settings = WatchSettings.model_validate(watch.settings)
    losses = None if reference is None or len(reference) == 0 else np.asarray(reference, np.float64)
    clip = _clip(settings, task, losses)
    common: Json = {"clip": clip}
    if watch.detector == "bounded-mean":
        return _bounded_mean(watch, settings, losses, clip)
    if clip is None:
        return Resolved(
            "refused",
            "A regression watch needs the setting clip, or reference rows with "
            "labels and outputs from which to take it.",
            {},
        )
    if watch.detector == "growing-pool":
        if losses is not None:
            return None
        if task == "regression":
            return Resolved(
                "refused",
                "Without a reference only 0/1 losses can be watched; this is a regression.",
                {},
            )
        return Resolved(
            "learning",
            f"{settings.learn} more labels are needed for the centre.",
            common | {"learn": settings.learn, "head_start": settings.head_start},
        )
    if watch.detector == "paired-excess":
        return Resolved(
            "armed",
            None,
            common
            | {
                "margin": settings.margin,
                "head_start": settings.head_start,
                "unit": "row",
                "unit_reason": "Each row is one step: the null is about each difference given "
                "all before, so "
                "neighbouring rows may depend on each other.",
            },
        )
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
    return Resolved("armed", None, common | {"delta": settings.delta, "unit": "row"})


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
        block, why = _block(settings, scaled, watch.tier)
    except DriftError as error:
        return Resolved("refused", f"No block could be chosen: {error}.", {"clip": clip})
    parameters: Json = {
        "clip": clip,
        "block": block,
        "unit": f"block of {block} rows" if block > 1 else "row",
        "unit_reason": why,
        "head_start": settings.head_start,
    }
    if scaled is not None:
        parameters |= _about(scaled)
    if watch.tier is Tier.ROLLBACK:
        sentence = _refusal(settings, scaled, block)
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


def _refusal(settings: WatchSettings, losses: NDArray[np.float64] | None, block: int) -> str | None:
    if losses is None:
        return (
            None
            if settings.block is not None
            else (
                "The limit is given, but nothing says how rows depend on each other: "
                "give reference rows, or set block."
            )
        )
    try:
        return refusal(losses, block=block if block > 1 else None)
    except DriftError as error:
        return f"The reference does not tell how rows depend on each other: {error}."


def _block(
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


def promise(watch: Watch, parameters: Json, budget_per_year: float, assumption: str) -> str:
    """What an alarm of this watch is worth, in words."""
    if watch.detector == "paired-promotion":
        return (
            f"A challenger that is not better is promoted with a probability of at most "
            f"{parameters['alpha']:g}, "
            f"however often one looks. Assumption: {assumption}"
        )
    if watch.detector not in GUARANTEED:
        return f"No false alarm rate is promised: this detector informs only. {assumption}"
    start = parameters.get("head_start", 0.0)
    extra = f", and {start:g} once for each new version" if start else ""
    return (
        f"At most {budget_per_year:.3g} false alarms a year are expected of this watch (tier "
        f"{watch.tier.value}){extra}. "
        f"Assumption: {assumption}"
    )


def detector_settings(watch: Watch, parameters: Json, seed: int) -> Json:
    """Settings of the detector in drift.catalog."""
    match watch.detector:
        case "bounded-mean":
            return {
                "limit": parameters["limit"],
                "head_start": parameters["head_start"],
                # A mean of many rows stays close to its expectation: bolder stakes are right.
                "averaged": parameters["block"] > 1,
            }
        case "growing-pool":
            return {
                "centre": parameters["centre"],
                "head_start": parameters["head_start"],
                "seed": seed,
            }
        case "paired-excess":
            return {"margin": parameters["margin"], "head_start": parameters["head_start"]}
        case "paired-promotion":
            return {"eps": parameters["eps"], "alpha": parameters["alpha"]}
        case _:
            return {"delta": parameters["delta"]}


def years(elapsed_us: int) -> float:
    """Microseconds as years."""
    return elapsed_us / YEAR_US


def default_mode(form: WatchForm, mode: Mode) -> Mode:
    """Mode of a default watch: what only tells people cannot do more than observe."""
    return Mode.OBSERVE if form.remedy == "notify" else mode
