"""What is normal, learned from reference rows or from the first live ones: ranks and rates."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from drift.errors import DriftError, InsufficientDataError
from drift.means.reference import upper_limit
from drift.ranks.categorical import TOP
from drift.ranks.numeric import edges_from
from monitor.records import Json, Watch
from monitor.resolution import MAX_LIMIT, MIN_BLOCKS, Resolved, choose_block, refuse_dependence
from monitor.settings import Tier
from monitor.signals.base import COVERAGE
from monitor.watches import WatchSettings

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


def waits(watch: Watch, signal: str, settings: WatchSettings) -> bool:
    """Whether a subject without reference rows must first learn from live ones."""
    return not (
        watch.detector == "bounded-mean"
        and (settings.limit is not None or settings.least is not None or signal in CONTRACTS)
        and not _unbounded(signal)
    )


def learning(settings: WatchSettings, subject: str, rows: int) -> str:
    """What a subject waits for."""
    told = f"learning: {rows} of {settings.learn} rows"
    return f"{told}: too little traffic in this segment to test it yet" if "|" in subject else told


def resolve_normal(
    watch: Watch,
    signal: str,
    *,
    categorical: bool,
    reference: Floats | None,
    texts: Mapping[int, str],
) -> tuple[Resolved, Floats | None]:
    """Fix the parameters of a member of a watch for one subject.

    Parameters
    ----------
    categorical
        Whether the values are codes of categories.
    reference : shape (n,)
        Values of normal rows, in time order; none where none are known.

    Returns
    -------
    Resolved
        Armed, learning or refused.
    shape (m,) or None
        Reference values with which a pool of ranks begins.
    """
    settings = WatchSettings.model_validate(watch.settings)
    if reference is None and waits(watch, signal, settings):
        return Resolved("learning", learning(settings, "", 0), {"learn": settings.learn}), None
    try:
        if watch.detector == "ranks":
            assert reference is not None
            made = _categories if categorical else _numbers
            return made(watch, settings, reference, texts)
        if watch.detector == "two-sided-mean":
            return _two_sided(settings, reference), None
        return _rate(watch, settings, signal, reference), None
    except DriftError as error:
        return Resolved("refused", f"The reference cannot be used: {error}.", {}), None


def _numbers(
    watch: Watch, settings: WatchSettings, reference: Floats, texts: Mapping[int, str]
) -> tuple[Resolved, Floats | None]:
    block, why = _blocks(watch, settings, reference)
    values = reference[: len(reference) // block * block].reshape(-1, block).mean(axis=1)
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
    parameters: Json = {
        "detector": "numeric-ranks",
        "edges": edges,
        "reference_rows": len(reference),
    }
    return Resolved("armed", None, parameters | _unit(block, why)), values[share:]


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
        return Resolved("learning", learning(settings, "", 0), {"learn": settings.learn})
    scale = settings.clip or float(np.quantile(np.abs(reference), MOST_CLIPPED)) or 1.0
    middle = float(np.clip(reference / scale, -1, 1).mean())
    room = settings.tolerance + 2 * float(np.std(reference / scale)) / len(reference) ** 0.5
    most, least = min(middle + room, MAX_LIMIT), max(middle - room, -MAX_LIMIT)
    return Resolved(
        "armed",
        None,
        {
            "detector": "two-sided-mean",
            "clip": scale,
            "least": least,
            "most": most,
            "head_start": settings.head_start,
            "reference_rows": len(reference),
            **_unit(1, "Each row is one step."),
        },
    )


def _unbounded(signal: str) -> bool:
    return signal in ("metric.log_loss", "metric.absolute", "metric.squared", "metric.quantile")


def _rate(watch: Watch, settings: WatchSettings, signal: str, reference: Floats | None) -> Resolved:
    inverted = signal.startswith("metric.") and signal.split(".")[1] in HIGHER_IS_BETTER
    if reference is not None and inverted:
        reference = 1.0 - reference
    clip = settings.clip or 1.0
    if reference is not None and (_unbounded(signal) or settings.metric) and settings.clip is None:
        clip = float(np.quantile(reference, MOST_CLIPPED)) or 1.0
    scaled = None if reference is None else np.clip(reference / clip, 0.0, 1.0)
    block, why = _blocks(watch, settings, scaled) if scaled is not None else (1, "Each row counts.")
    parameters: Json = {
        "detector": "bounded-mean",
        "clip": clip,
        "head_start": settings.head_start,
        "inverted": inverted,
    } | _unit(block, why)
    limit = settings.limit if settings.limit is not None else CONTRACTS.get(signal)
    if settings.least is not None and inverted:
        least = settings.least
        # F1 is watched as the share of true positives among what is or was called positive.
        share = least / (2 - least) if signal.startswith("metric.f1") else least
        limit = 1.0 - share
    if signal == COVERAGE:
        parameters["unit_reason"] = "Each stretch of time is one step."
    if limit is None:
        assert scaled is not None
        parameters["reference_rows"] = len(scaled)
        whole = len(scaled) // block * block
        means = scaled[:whole].reshape(-1, block).mean(axis=1)
        limit = upper_limit(means, confidence=settings.confidence, tolerance=settings.tolerance)
        parameters |= {"reference_mean": float(scaled.mean())}
    if watch.tier is Tier.ROLLBACK:
        sentence = refuse_dependence(settings, scaled, block)
        if sentence is not None:
            return Resolved("refused", sentence, parameters)
    if not 0 < limit < MAX_LIMIT:
        return Resolved(
            "refused",
            f"The limit would be {limit:.3g}: too high to be exceeded.",
            parameters,
        )
    return Resolved("armed", None, parameters | {"limit": float(limit)})
