"""What every policy gives, and what it may be told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


class Shortfall(StrEnum):
    """Why the answers of several versions made none together."""

    TOO_FEW_MEMBERS = "too_few_members"
    """Fewer took part than the policy asks for."""
    LOW_AGREEMENT = "low_agreement"
    """They agreed less than the policy asks for."""


@dataclass(frozen=True, slots=True)
class MemberAnswer:
    """What one of several versions said."""

    output: bytes
    """JSON text."""
    scores: bytes | None = None
    """Little-endian float64, in the order of `classes`."""
    classes: tuple[bytes, ...] = ()
    """JSON texts of the classes that the scores belong to."""


@dataclass(frozen=True, slots=True)
class Combined:
    """What several answers come to."""

    output: bytes = b"null"
    """JSON text; of no meaning with a shortfall."""
    scores: bytes | None = None
    agreement: float | None = None
    """Share of the members that took part and say the same, by weight; None without any."""
    shortfall: Shortfall | None = None
    """Why there is no output; None where there is one."""


class Combination(Protocol):
    """Makes one answer of several."""

    def combine(self, answers: Sequence[MemberAnswer | None], *, numeric: bool) -> Combined:
        """Combine.

        Parameters
        ----------
        answers
            One place for each of the choice's members, in their order; None for those that did
            not answer in time.
        numeric
            Whether outputs are numbers to be averaged, as in regression, or classes.
        """


@dataclass(frozen=True, slots=True)
class Stage:
    """One version of a cascade."""

    version: str
    accept_at: float | None = None
    """Highest class score from which its answer stands; None: it always does."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Who answers one request."""

    primary: str
    """The version whose answer counts, as `model:version`."""
    propensity: float = 1.0
    """Probability with which the policy chooses this version for such a request, in (0, 1]."""
    shadows: tuple[str, ...] = ()
    """Versions that are asked as well; their answers are recorded and never returned."""
    members: tuple[str, ...] = ()
    """Versions that are asked at once, whose answers `combination` makes into one; the first is
    the primary, under whose name the common answer is recorded."""
    combination: Combination | None = None
    stages: tuple[Stage, ...] = ()
    """Versions that are asked one after the other until one is sure; the first is the primary."""


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


@dataclass(frozen=True, slots=True)
class ArmStatistics:
    """What feedback said of one arm: sums, so that the order in which it came does not matter."""

    count: int = 0
    """Labelled answers of the arm."""
    loss: float = 0.0
    """Sum of their losses, each in [0, 1]."""
    weighted_loss: float = 0.0
    """Sum of loss / propensity: estimates what the arm would have lost had it answered all."""


@dataclass(frozen=True, slots=True, eq=False)
class Experience:
    """What feedback said of all arms under one key; replaced as a whole, never changed."""

    arms: Mapping[str, ArmStatistics] = field(default_factory=dict)
    """By `model:version`; an arm without feedback may be absent."""


NOTHING = Experience()
"""Before any feedback."""


def no_experience(_: str, __: str) -> Experience:
    """What is known without feedback."""
    return NOTHING


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a policy in force may look at, beyond the request."""

    age: Callable[[], float] = lambda: 0.0
    """Seconds since the revision was made."""
    experience: Callable[[str, str], Experience] = no_experience
    """What is known under a policy's `state_name` and a key."""


@runtime_checkable
class Bindable(Protocol):
    """A policy that depends on time or on feedback; unbound it acts as at the very beginning."""

    def bound(self, surroundings: Surroundings) -> Policy:
        """Return the same policy with something to look at."""


def bind(policy: Policy, surroundings: Surroundings) -> Policy:
    """Put a policy into its surroundings, if it cares for them."""
    return policy.bound(surroundings) if isinstance(policy, Bindable) else policy


def context_keys(policy: Policy) -> frozenset[str]:
    """Keys of the context without which the record could not tell what the policy went by."""
    return frozenset(getattr(policy, "context_keys", ()))
