"""Watches: their settings, the ones that exist without a word, and what their alarms are worth."""

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from monitor import rules
from monitor.errors import InvalidRequestError
from monitor.moments import YEAR_US
from monitor.records import Json, Watch
from monitor.settings import Mode, Tier
from monitor.signals.base import (
    CANARY_DIFFERENCE,
    CHALLENGER_DIFFERENCE,
    COVERAGE,
    DELAY,
    FEATURES,
    LOSS,
    LOSS_DIFFERENCE,
    METRICS,
    OUTPUT,
    QUALITY,
    SCORE,
    SERVICE,
    TRAFFIC,
)
from monitor.signals.segments import Segments

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
    least: Fraction | None = None
    """Precision, recall, F1: the least that is accepted; learned when absent."""
    segments: Segments | None = None
    """By what the signal is divided; each part is tested by itself, at the watch's expense."""
    most_segments: Annotated[int, Field(ge=1, le=1000)] = 20
    """Segments of one version; what comes after them is OTHER."""
    unit: Annotated[str, Field(pattern=r"^context\..+$")] | None = None
    """context.KEY whose rows belong together (session, user, job): their mean is one
    observation."""
    gap: Annotated[int, Field(ge=1)] = 1000
    """Rows of others after which a unit is complete."""
    metric: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    """package.module:function of an operator's metric: outputs and labels to a value a row."""
    quiet_after: Annotated[float, Field(gt=0)] | None = None
    """service.traffic: seconds without a request that count as quiet; learned when absent."""
    horizon: Annotated[float, Field(gt=0)] = 3600.0
    """label.coverage: seconds after which a label should have come."""


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
    WatchForm("canary", CANARY_DIFFERENCE, "randomised-excess", Tier.PAGE, "stop_canary", {}),
    # It looks at its window every 32 values anyway, and each costs as much as forty of the others.
    WatchForm("loss_adwin", LOSS, "adwin", Tier.INFO, "notify", {"block": 16}),
    WatchForm("output", OUTPUT, "ranks", Tier.INFO, "notify", {"block": "recommended"}),
    WatchForm("score", SCORE, "ranks", Tier.INFO, "notify", {"block": "recommended"}),
    WatchForm("features", FEATURES, "ranks", Tier.INFO, "notify", {"block": "recommended"}),
    # Ten rows are one step: as fast for people, and a tenth of the work for every feature.
    WatchForm("quality", QUALITY, "bounded-mean", Tier.PAGE, "notify", {"block": 10}),
    WatchForm("service", SERVICE, "bounded-mean", Tier.PAGE, "notify", {}),
    WatchForm("traffic", TRAFFIC, "quiet", Tier.INFO, "notify", {}),
    WatchForm("label_delay", DELAY, "ranks", Tier.INFO, "notify", {"block": "recommended"}),
    WatchForm("label_coverage", COVERAGE, "bounded-mean", Tier.INFO, "notify", {"learn": 60}),
)
"""What every application is watched by without a word."""

DETECTORS = {
    LOSS: ("bounded-mean", "growing-pool", "adwin"),
    LOSS_DIFFERENCE: ("paired-excess",),
    CHALLENGER_DIFFERENCE: ("paired-promotion",),
    CANARY_DIFFERENCE: ("randomised-excess", "randomised-promotion"),
    OUTPUT: ("ranks",),
    SCORE: ("ranks",),
    DELAY: ("ranks",),
    COVERAGE: ("bounded-mean",),
    TRAFFIC: ("quiet",),
    FEATURES: ("ranks",),
    QUALITY: ("bounded-mean",),
    SERVICE: ("bounded-mean",),
    METRICS: ("bounded-mean", "two-sided-mean"),
}
"""Which detectors fit which signal."""


def detectors_for(signal: str) -> tuple[str, ...]:
    """Detectors that fit a signal, a member of a family too; none where there is no such signal."""
    family = signal.partition(".")[0] + ".*"
    return DETECTORS.get(signal, DETECTORS.get(family, ()))


def check_form(form: WatchForm, *, where: str) -> None:
    """Refuse a watch whose parts do not fit together.

    Parameters
    ----------
    where
        Path of the watch, before the name of the field that is wrong.

    Raises
    ------
    InvalidRequestError
        If there is no such signal, the detector does not fit it, or an alarm of a detector without
        a guarantee would act.
    """
    fits = detectors_for(form.signal)
    if not fits:
        known = ", ".join(sorted(DETECTORS))
        raise InvalidRequestError(f"{where}/signal", f"one of {known}, or a member", form.signal)
    if form.detector not in fits:
        fitting = " or ".join(fits)
        raise InvalidRequestError(
            f"{where}/detector", f"{fitting} for the signal {form.signal}", form.detector
        )
    rule = form.rule or [{"kind": form.remedy}]
    may_act = form.detector in GUARANTEED
    if not may_act and (rules.acts(rule) or form.tier is Tier.ROLLBACK):
        raise InvalidRequestError(
            f"{where}/remedy",
            "notify and a tier of page or info: the detector has no guarantee",
            rule[0]["kind"],
        )


GUARANTEED = frozenset(
    {
        "bounded-mean",
        "growing-pool",
        "paired-excess",
        "paired-promotion",
        "randomised-excess",
        "randomised-promotion",
        "ranks",
        "two-sided-mean",
    }
)
"""Detectors whose false alarms are bounded; any other may inform or page, never act."""
REMEDIES = ("notify", "roll_back", "promote", "stop_canary")


def kind_of(watch: Watch) -> str:
    """What an alarm of the watch says went wrong; alarms of one kind and subject are one alert."""
    return "challenger_better" if watch.remedy == "promote" else watch.signal


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


def years(elapsed_us: int) -> float:
    """Microseconds as years."""
    return elapsed_us / YEAR_US


def default_mode(form: WatchForm, mode: Mode) -> Mode:
    """Mode of a default watch: what only tells people cannot do more than observe."""
    return Mode.OBSERVE if form.remedy == "notify" else mode
