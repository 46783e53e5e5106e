"""From joined rows to observations: one value for one subject at one moment.

Each family of signals is a file here, and a function of a stretch of the record and the registry.
"""

from monitor.feed.join import Stretch
from monitor.records import Registry
from monitor.signals.arrivals import Profiles, arrivals
from monitor.signals.base import (
    CHALLENGER_DIFFERENCE,
    LOSS,
    LOSS_DIFFERENCE,
    SHADOW_LOSS,
    SIGNALS,
    Extracted,
    Observations,
)
from monitor.signals.canary import canaries
from monitor.signals.labelled import labelled
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


def extract(stretch: Stretch, registry: Registry, profiles: Profiles | None = None) -> Extracted:
    """Observations of every signal.

    Parameters
    ----------
    profiles
        What versions' reference rows say of their features: whoever wants the signals of arrivals
        gives them, be they empty.
    """
    found = losses(stretch, registry) | canaries(stretch, registry)
    if profiles is not None:
        found |= arrivals(stretch, registry, profiles) | labelled(stretch, registry)
    return found
