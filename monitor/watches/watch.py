"""Watches: their settings, the ones that exist without a word, and what their alarms are worth."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

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
    OUTPUT,
    QUALITY,
    SCORE,
    SERVICE,
    TRAFFIC,
)
from monitor.signals.segments import Segments

Fraction = Annotated[float, Field(gt=0, lt=1)]
Seconds = Annotated[float, Field(gt=0, le=3.2e9)]
"""A century at most: moments are counted in microseconds, and more of them would not fit."""
Rows = Annotated[int, Field(ge=1, le=10**12)]
Size = Annotated[float, Field(gt=0, le=1e300, allow_inf_nan=False)]
"""A finite number, which JSON can hold."""


class WatchSettings(BaseModel):
    """What can be set for one watch."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    limit: Fraction | None = None
    """Mean loss that is accepted, in the unit of the clipped loss; learned from the reference when
    absent."""
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """Added to the upper limit of the reference's mean loss: harm too small to alarm about;
    tolerant-ranks: how far the mean rank of values among normal ones, 0 to 1, may move."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """With which the reference's mean loss lies below its upper limit."""
    block: Rows | Literal["recommended"] | None = None
    """Rows whose mean is one observation; "recommended" takes what the reference's dependence asks
    for."""
    clip: Size | None = None
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
    learn: Annotated[int, Field(ge=50, le=1_000_000)] = 500
    """Without a reference: labels from which the centre is learned before the test begins."""
    delta: Fraction = 0.002
    """adwin: its parameter; no false alarm rate follows from it."""
    opened_by: Annotated[str, Field(max_length=63)] | None = None
    """confirm-gate: the detector without a guarantee whose suspicions are put to the test."""
    opener: dict[Annotated[str, Field(max_length=63)], int | float] = {}
    """confirm-gate: settings of that detector, by river's names; river's own where absent."""
    patience: Rows = 2000
    """confirm-gate: fresh steps after which a suspicion that they did not confirm is dropped."""
    least: Fraction | None = None
    """Precision, recall, F1: the least that is accepted; learned when absent."""
    segments: Segments | None = None
    """By what the signal is divided; each part is tested by itself, at the watch's expense."""
    most_segments: Annotated[int, Field(ge=1, le=1000)] | None = None
    """Segments of one version; what comes after them is tested together, as OTHER. When absent 5 at
    the tier rollback, where 24 are the most, and 50 at the others, or as many as `segments`
    names."""
    unit: Annotated[str, Field(pattern=r"^context\.[^\x00\n]+$")] | None = None
    """context.KEY whose rows belong together (session, user, job): their mean is one
    observation."""
    gap: Rows = 1000
    """Rows of others after which a unit is complete."""
    metric: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")] | None = None
    """package.module:function of an operator's metric: outputs and labels to a value a row."""
    quantile: Fraction | None = None
    """metric.quantile: the quantile that the outputs forecast; 0.9 when absent."""
    quiet_after: Seconds | None = None
    """service.traffic: seconds without a request that count as quiet; learned when absent."""
    horizon: Seconds = 3600.0
    """label.coverage: seconds after which a label should have come."""
    mature_after: Seconds | None = None
    """Seconds after which a prediction is tested, in the order of predictions and with the labels
    that came by then; as labels arrive when absent. For labels whose delay depends on them."""
    independent_delay: bool = False
    """Declares that how late a label comes says nothing about the loss: a rollback watch does not
    look for it then."""
    negatives: Annotated[int, Field(ge=1, le=1000)] | None = None
    """metric.auc: negatives that each positive is compared with; 4 when absent. Best is what comes
    on one positive."""


def settings_of(watch: Watch) -> WatchSettings:
    """What is set for a watch; its settings were checked when it was made."""
    return _read(msgspec.json.encode(watch.settings))


def head_start_of(watch: Watch) -> float:
    """False alarms that each new subject is granted at once; a gate that opens late needs none."""
    return 0.0 if watch.detector == CONFIRM_GATE else settings_of(watch).head_start


@lru_cache(maxsize=4096)
def _read(settings: bytes) -> WatchSettings:
    # Thousands of applications have the same default watches, and each row asks for all of them.
    return WatchSettings.model_validate_json(settings)


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

CONFIRM_GATE = "confirm-gate"
OF_A_LIMIT = ("bounded-mean", CONFIRM_GATE)
"""Detectors of a mean that should stay below a limit."""

GUARANTEED = frozenset(
    {
        *OF_A_LIMIT,
        "growing-pool",
        "paired-excess",
        "paired-promotion",
        "randomised-excess",
        "randomised-promotion",
        "ranks",
        "tolerant-ranks",
        "two-sided-mean",
    }
)
"""Detectors whose false alarms are bounded; any other may inform or page, never act."""


def kind_of(watch: Watch) -> str:
    """What an alarm of the watch says went wrong; alarms of one kind and subject are one alert."""
    return "challenger_better" if watch.remedy == "promote" else watch.signal


def promise(watch: Watch, parameters: Json, budget_per_year: float, assumption: str) -> str:
    """What an alarm of this watch is worth, in words."""
    if watch.detector == "paired-promotion":
        assumption = assumption.replace("at least eps", f"at least {parameters['eps']:g}")
        assumption = assumption.replace("at most alpha", f"at most {parameters['alpha']:g}")
        return (
            f"A challenger that is not better is promoted with a probability of at most "
            f"{parameters['alpha']:g}, "
            f"however often one looks. Assumption: {assumption}"
        )
    if watch.detector not in GUARANTEED:
        return f"No false alarm rate is promised: this detector informs only. {assumption}"
    start = parameters.get("head_start", 0.0)
    extra = f", and {start:g} more once for each new version" if start else ""
    for name in ("limit", "margin"):
        if name in parameters:
            line = float(parameters[name]) * float(parameters.get("clip") or 1.0)
            assumption = assumption.replace(f"the {name}.", f"the {name}, {line:.3g}.")
    if not watch.signal.startswith(("loss", "metric.")):
        assumption = assumption.replace("expected loss", "expected value")
    if watch.detector == CONFIRM_GATE:
        assumption += f" Nothing is assumed of {settings_of(watch).opened_by}."
    rate = f"{budget_per_year:.3g} false alarms a year are"
    if 0 < budget_per_year < 1:
        rate = f"one false alarm in {1 / budget_per_year:.3g} years is"
    return (
        f"At most {rate} expected of this watch (tier {watch.tier.value}){extra}. "
        f"Assumption: {assumption}"
    )


def years(elapsed_us: int) -> float:
    """Microseconds as years."""
    return elapsed_us / YEAR_US


def default_mode(form: WatchForm, mode: Mode) -> Mode:
    """Mode of a default watch: what only tells people cannot do more than observe."""
    return Mode.OBSERVE if form.remedy == "notify" else mode
