"""What every policy gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers one request."""

    primary: str
    """The version whose answer counts, as `model:version`."""
    propensity: float = 1.0
    """Probability with which the policy chooses this version for such a request, in (0, 1]."""
    shadows: tuple[str, ...] = ()
    """Versions that are asked as well; their answers are recorded and never returned."""


@runtime_checkable
class Policy(Protocol):
    """Chooses versions."""

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose for one request.

        Parameters
        ----------
        context
            The request's context, if it has one.
        uniform
            A random number in [0, 1): the only chance that the choice may depend on.
        """

    def versions(self) -> tuple[str, ...]:
        """Every version that may be chosen, the champion first."""
