"""What is normal, learned from reference rows or from the first live ones: ranks and rates."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from drift.errors import DriftError, InsufficientDataError
from drift.means.reference import upper_limit
from drift.ranks.categorical import TOP
from drift.ranks.numeric import edges_from
from drift.ranks.tolerant import calibrated
from monitor.records import Json, Watch
from monitor.settings import Tier
from monitor.signals.base import AUC, COVERAGE, LOSS, QUANTILE, is_of
from monitor.signals.metrics import USUAL_QUANTILE
from monitor.watches.resolution import (
    MAX_LIMIT,
    MIN_BLOCKS,
    Resolved,
    about_steps,
    choose_block,
    refuse_dependence,
)
from monitor.watches.watch import (
    CONFIRM_GATE,
    OF_A_LIMIT,
    WatchSettings,
    head_start_of,
    settings_of,
)

Floats = NDArray[np.float64]

CONTRACTS = {"service.latency": 0.05, "service.default": 0.02, "service.error": 0.02}
"""Shares of requests that are accepted where no limit is set: what an operator expects of any
service, so that nothing need be learned."""
EDGE_SHARE = 3
"""One reference row of so many gives the edges of the bins, the others begin the pool: edges must
not come from values that are ranked."""
HIGHER_IS_BETTER = ("precision", "recall", "f1")
"""Metrics that are watched by what they lack to 1."""
MOST_CLIPPED = 0.995
"""Quantile of an unbounded metric's reference that counts as 1."""


def waits(watch: Watch, signal: str, settings: WatchSettings, task: str) -> bool:
    """Whether a subject without reference rows must first learn from live ones."""
    return not (
        watch.detector in OF_A_LIMIT
        and (settings.limit is not None or settings.least is not None or signal in CONTRACTS)
        and (settings.clip is not None or not is_unbounded(signal, settings, task))
    )


def learning(wanted: int, subject: str, rows: int) -> str:
    """What a subject waits for."""
    told = f"learning: {rows} of {wanted} rows"
    return f"{told}: too little traffic in this segment to test it yet" if "|" in subject else told


def resolve_normal(
    watch: Watch,
    signal: str,
    *,
    task: str,
    categorical: bool,
    reference: Floats | None,
    texts: Mapping[int, str],
    least_block: int = 1,
) -> tuple[Resolved, Floats | None]:
    """Fix the parameters of a member of a watch for one subject.

    Parameters
    ----------
    categorical
        Whether the values are codes of categories.
    reference : shape (n,)
        Values of normal rows, in time order; none where none are known.
    least_block
        Rows of one step at least, where what the values are made of depends on itself for so long.

    Returns
    -------
    Resolved
        Armed, learning or refused.
    shape (m,) or None
        Reference values with which a pool of ranks begins, or of which an opener learns what is
        usual.
    """
    settings = settings_of(watch)
    if watch.detector == "tolerant-ranks" and categorical:
        said = "Categories have no ranks of which a small drift could be told: watch it by ranks."
        return Resolved("refused", said, {}), None
    if reference is None and waits(watch, signal, settings, task):
        return Resolved(
            "learning", learning(settings.learn, "", 0), {"learn": settings.learn}
        ), None
    try:
        if watch.detector == "ranks":
            assert reference is not None
            if categorical:
                return _categories(watch, settings, reference, texts)
            return _numbers(watch, settings, reference, least_block)
        if watch.detector == "tolerant-ranks":
            assert reference is not None
            return _tolerant(watch, settings, reference, least_block), None
        if watch.detector == "two-sided-mean":
            return _two_sided(settings, reference), None
        resolved = _rate(watch, settings, signal, reference, task)
        return resolved, usual_steps(watch, resolved.parameters, reference)
    except DriftError as error:
        return Resolved("refused", f"The reference cannot be used: {error}.", {}), None


def _numbers(
    watch: Watch, settings: WatchSettings, reference: Floats, least_block: int
) -> tuple[Resolved, Floats | None]:
    values, more = _steps(watch, settings, reference, least_block)
    resolved, pool = ranks_of(values)
    return Resolved(resolved.status, resolved.reason, resolved.parameters | more), pool


def _steps(
    watch: Watch, settings: WatchSettings, reference: Floats, least_block: int
) -> tuple[Floats, Json]:
    """Means of blocks of normal rows, and what a step is."""
    block, why = _blocks(watch, settings, reference)
    if block < least_block:
        block = least_block
        why = f"The reference's features depend on each other over {block} rows, and so do these."
    values = reference[: len(reference) // block * block].reshape(-1, block).mean(axis=1)
    return values, _unit(block, why) | {"reference_rows": len(reference)}


def ranks_of(values: Floats) -> tuple[Resolved, Floats | None]:
    """Bins from a third of normal steps; the others begin the pool.

    Parameters
    ----------
    values : shape (n,)
        Values of single steps, in time order.
    """
    share = max(2, len(values) // EDGE_SHARE)
    try:
        edges = edges_from(values[:share])
    except InsufficientDataError:
        return Resolved(
            "refused",
            f"All {share} values that would give the bins are equal: there is nothing to rank. "
            "The quality watch sees another value.",
            {},
        ), None
    made = {"detector": "numeric-ranks", "edges": edges} | about_steps(values)
    return Resolved("armed", None, made), values[share:]


def _tolerant(
    watch: Watch, settings: WatchSettings, reference: Floats, least_block: int
) -> Resolved:
    """A profile from a third of normal steps; the others tell how far ranks move by chance."""
    values, more = _steps(watch, settings, reference, least_block)
    share = max(2, len(values) // EDGE_SHARE)
    quantiles, limits = calibrated(values[:share], values[share:], tolerance=settings.tolerance)
    if min(limits) >= MAX_LIMIT:
        said = f"{len(values)} steps of reference rows are too few to say how far ranks may move."
        return Resolved("refused", said, more)
    made: Json = {"quantiles": quantiles, "limits": limits, "tolerance": settings.tolerance}
    return Resolved("armed", None, made | about_steps(values) | more)


def _categories(
    watch: Watch, settings: WatchSettings, reference: Floats, texts: Mapping[int, str]
) -> tuple[Resolved, Floats | None]:
    share = max(1, len(reference) // EDGE_SHARE)
    codes, counts = np.unique(reference[:share].astype(np.int64), return_counts=True)
    top = codes[np.argsort(-counts, kind="stable")][:TOP]
    shares = [float((reference[:share] == code).mean()) for code in top.tolist()]
    rest = max(0.0, 1.0 - sum(shares))
    parameters: Json = {
        "detector": "categorical-ranks",
        "codes": [int(code) for code in top.tolist()],
        "known": [int(code) for code in codes.tolist()],
        "names": [texts.get(int(code), str(code)) for code in top.tolist()],
        "shares": [*shares, rest, 0.0],
        "reference_rows": len(reference),
    }
    # Categories have no mean: neighbours that agree are thinned out, one row of each block stays.
    block, why = _blocks(watch, settings, (reference == top[0]).astype(np.float64))
    thinned = reference[share:][::block]
    if block > 1:
        parameters |= {"thin": block, "unit": f"one row of {block}", "unit_reason": why}
    else:
        parameters |= {"unit": "row", "unit_reason": why}
    return Resolved("armed", None, parameters), thinned


def _blocks(watch: Watch, settings: WatchSettings, reference: Floats) -> tuple[int, str]:
    if settings.block == "recommended" and len(reference) < MIN_BLOCKS:
        return 1, "Too few reference rows to tell which blocks are independent."
    return choose_block(settings, reference, Tier.INFO)


def _unit(block: int, why: str) -> Json:
    unit = f"block of {block} rows" if block > 1 else "row"
    return {"block": block, "unit": unit, "unit_reason": why}


def _two_sided(settings: WatchSettings, reference: Floats | None) -> Resolved:
    if reference is None:
        return Resolved("learning", learning(settings.learn, "", 0), {"learn": settings.learn})
    scale = settings.clip or float(np.quantile(np.abs(reference), MOST_CLIPPED)) or 1.0
    resolved = two_sided_of(settings, np.clip(reference / scale, -1, 1))
    more = {"clip": scale, "reference_rows": len(reference)}
    parameters = resolved.parameters | more | _unit(1, "Each row is one step.")
    return Resolved(resolved.status, resolved.reason, parameters)


def two_sided_of(settings: WatchSettings, values: Floats) -> Resolved:
    """Limits on both sides of the mean of normal steps.

    Parameters
    ----------
    values : shape (n,)
        In [-1, 1].
    """
    middle = float(values.mean())
    room = settings.tolerance + 2 * float(np.std(values)) / len(values) ** 0.5
    least, most = middle - room, middle + room
    if max(-least, most) >= MAX_LIMIT:
        said = f"The limits would be {least:.3g} and {most:.3g}: one could not be exceeded."
        return Resolved("refused", said, {})
    return Resolved(
        "armed",
        None,
        {
            "detector": "two-sided-mean",
            "least": least,
            "most": most,
            "head_start": settings.head_start,
        },
    )


TAUGHT = 1_000
"""Last normal steps from which an opener learns what is usual: the slowest takes most of a
millisecond for each."""


def usual_steps(watch: Watch, parameters: Json, reference: Floats | None) -> Floats | None:
    """Normal rows as a confirm gate is fed them; none for other watches, or where none are known.

    Without them an opener would take a version that is bad from its first row on for usual.
    """
    if watch.detector != CONFIRM_GATE or reference is None:
        return None
    scaled = np.clip(reference / float(parameters.get("clip") or 1.0), 0.0, 1.0)
    if parameters.get("inverted"):
        scaled = 1.0 - scaled
    block = int(parameters.get("block", 1))
    steps: Floats = scaled[: len(scaled) // block * block].reshape(-1, block).mean(axis=1)
    return steps[-TAUGHT:]


UNBOUNDED = ("metric.log_loss", "metric.absolute", "metric.squared", QUANTILE)
"""Metrics without a greatest value."""
TWO_SIDED = ("bias", "calibration")
"""Metrics whose mean may be wrong on either side."""


def is_unbounded(signal: str, settings: WatchSettings, task: str) -> bool:
    """Whether a signal has no greatest value, so that one must be set or learned."""
    of_numbers = signal == LOSS and task == "regression"
    unbounded = any(is_of(signal, metric) for metric in UNBOUNDED)
    return of_numbers or unbounded or settings.metric is not None


def is_inverted(signal: str, settings: WatchSettings) -> bool:
    """Whether more is better, so that what lacks to 1 is watched."""
    family, _, member = signal.partition(".")
    if family != "metric" or is_of(signal, AUC):
        return False
    return member.split(".")[0] in HIGHER_IS_BETTER or (
        settings.metric is not None and settings.least is not None
    )


def about_metric(signal: str, settings: WatchSettings) -> Json:
    """What its text says of a metric besides its name."""
    if is_of(signal, QUANTILE) and settings.metric is None:
        return {"quantile": settings.quantile or USUAL_QUANTILE}
    return {}


def stated_limit(settings: WatchSettings, signal: str) -> float | None:
    """The limit that need not be learned; none where none is set."""
    if settings.least is None:
        return settings.limit if settings.limit is not None else CONTRACTS.get(signal)
    # F1 is watched as the share of true positives among what is or was called positive.
    is_f1 = signal.startswith("metric.f1")
    return 1.0 - (settings.least / (2 - settings.least) if is_f1 else settings.least)


def _rate(
    watch: Watch, settings: WatchSettings, signal: str, reference: Floats | None, task: str
) -> Resolved:
    inverted = is_inverted(signal, settings)
    if signal.startswith("metric.") and signal.split(".")[1] in TWO_SIDED:
        return Resolved(
            "refused",
            "Its mean may be wrong on either side: watch it by two-sided-mean.",
            {},
        )
    if reference is not None and inverted:
        reference = 1.0 - reference
    clip = settings.clip or 1.0
    if reference is not None and is_unbounded(signal, settings, task) and settings.clip is None:
        clip = float(np.quantile(reference, MOST_CLIPPED)) or 1.0
    scaled = None if reference is None else np.clip(reference / clip, 0.0, 1.0)
    block, why = _blocks(watch, settings, scaled) if scaled is not None else (1, "Each row counts.")
    parameters: Json = {
        "detector": watch.detector,
        "clip": clip,
        "head_start": head_start_of(watch),
        "inverted": inverted,
        **about_metric(signal, settings),
    } | _unit(block, why)
    limit = stated_limit(settings, signal)
    if signal == COVERAGE:
        parameters |= {"unit": "stretch of time", "unit_reason": "Each of them is one step."}
    if limit is None:
        assert scaled is not None
        parameters["reference_rows"] = len(scaled)
        whole = len(scaled) // block * block
        means = scaled[:whole].reshape(-1, block).mean(axis=1)
        limit = upper_limit(means, confidence=settings.confidence, tolerance=settings.tolerance)
        parameters |= {"reference_mean": float(scaled.mean())} | about_steps(means)
    if watch.tier is Tier.ROLLBACK:
        sentence = refuse_dependence(settings, scaled, block)
        if sentence is not None:
            return Resolved("refused", sentence, parameters)
    return rate_with_limit(limit, parameters)


def rate_with_limit(limit: float, parameters: Json) -> Resolved:
    """Armed with a limit, unless that leaves no room for a worse mean."""
    if not 0 < limit < MAX_LIMIT:
        return Resolved(
            "refused",
            f"The limit would be {limit:.3g}: too high to be exceeded.",
            parameters,
        )
    return Resolved("armed", None, parameters | {"limit": float(limit)})
