"""From joined rows to observations: one value for one subject at one moment.

Each family of signals is a file here, and a function of a stretch of the record and the registry.
"""

from monitor.feed import Stretch
from monitor.records import Registry
from monitor.signals.base import (
    CHALLENGER_DIFFERENCE,
    LOSS,
    LOSS_DIFFERENCE,
    SHADOW_LOSS,
    SIGNALS,
    Extracted,
    Observations,
)
from monitor.signals.losses import losses

__all__ = [
    "CHALLENGER_DIFFERENCE",
    "LOSS",
    "LOSS_DIFFERENCE",
    "SHADOW_LOSS",
    "SIGNALS",
    "Extracted",
    "Observations",
    "extract",
]

FAMILIES = (losses,)
"""Every family of signals."""


def extract(stretch: Stretch, registry: Registry) -> Extracted:
    """Observations of every signal."""
    found: Extracted = {}
    for family in FAMILIES:
        found |= family(stretch, registry)
    return found
