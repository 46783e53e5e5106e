"""Detectors by name, as watches call them."""

from collections.abc import Callable, Mapping

from drift.base import Detector
from drift.canary.paired import PairedExcess, PairedPromotion
from drift.canary.randomised import RandomisedExcess, RandomisedPromotion
from drift.errors import InvalidSettingError
from drift.learned.ranks import LearnedScore
from drift.means.bounded import BoundedMean
from drift.means.pool import GrowingPool
from drift.means.sampled import SampledMean
from drift.means.signed import SignedMean, TwoSidedMean
from drift.means.stratified import StratifiedMean
from drift.ranks.categorical import CategoricalRanks
from drift.ranks.numeric import NumericRanks
from drift.ranks.tolerant import TolerantRanks
from drift.streaming.confirm import ConfirmGate
from drift.streaming.river_adapter import NAMES as RIVER_NAMES
from drift.streaming.river_adapter import Streaming

_GUARANTEED: dict[str, Callable[..., Detector]] = {
    detector.name: detector
    for detector in (
        BoundedMean,
        CategoricalRanks,
        ConfirmGate,
        GrowingPool,
        LearnedScore,
        NumericRanks,
        PairedExcess,
        PairedPromotion,
        RandomisedExcess,
        RandomisedPromotion,
        SampledMean,
        SignedMean,
        StratifiedMean,
        TolerantRanks,
        TwoSidedMean,
    )
}

NAMES = (*sorted(_GUARANTEED), *RIVER_NAMES)
"""Every name that `create` knows; those with a guarantee come first."""


def create(name: str, settings: Mapping[str, object]) -> Detector:
    """Build a detector.

    Parameters
    ----------
    name
        One of `NAMES`.
    settings
        Arguments of its constructor; plain numbers, strings and lists.

    Raises
    ------
    InvalidSettingError
        If the name is unknown, or a setting is missing, unknown or out of range.
    """
    if name in RIVER_NAMES:
        return Streaming(name, **settings)
    if name not in _GUARANTEED:
        raise InvalidSettingError("detector", f"one of {', '.join(NAMES)}", name)
    try:
        return _GUARANTEED[name](**settings)
    except TypeError as error:
        raise InvalidSettingError(name, "other settings", str(error)) from error
