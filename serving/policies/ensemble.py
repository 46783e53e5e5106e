"""Several versions answer together; whoever misses the deadline is left out."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from serving.policies.base import Choice, Combined, MemberAnswer, Shortfall

Floats = NDArray[np.float64]
Combine = Literal["mean", "vote", "weighted"]

TOLERANCE = 0.1
"""Numbers agree that differ by no more than this share of the common one, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class WeightedCombination:
    """Combines answers by weights.

    Scores over the same classes are averaged and the class with the highest average wins; outputs
    without scores, or with scores over different classes, are votes. Numbers are averaged; by
    vote, their median is taken.
    """

    weights: tuple[float, ...]
    """One for each member, at least one above 0."""
    by_vote: bool = False
    """Look at outputs alone."""
    min_members: int = 1
    min_agreement: float = 0.0
    tolerance: float | None = None
    """Largest difference from the common number that counts as agreement, in its unit."""

    def combine(self, answers: Sequence[MemberAnswer | None], *, numeric: bool) -> Combined:
        """Combine those that are there."""
        taken = [
            (one, weight)
            for one, weight in zip(answers, self.weights, strict=True)
            if one is not None
        ]
        if len(taken) < self.min_members or not taken:
            return Combined(shortfall=Shortfall.TOO_FEW_MEMBERS)
        present = [one for one, _ in taken]
        weights = np.array([weight for _, weight in taken])
        if not weights.any():
            # Only members of weight 0 came in time: they are all there is.
            weights = np.ones(len(weights))
        weights /= weights.sum()
        combined = self._numbers(present, weights) if numeric else self._classes(present, weights)
        if combined.agreement is not None and combined.agreement < self.min_agreement:
            return Combined(agreement=combined.agreement, shortfall=Shortfall.LOW_AGREEMENT)
        return combined

    def _numbers(self, present: Sequence[MemberAnswer], weights: Floats) -> Combined:
        values = np.array([_number(one.output) for one in present])
        finite = np.isfinite(values)
        if not finite.any():
            return Combined(shortfall=Shortfall.TOO_FEW_MEMBERS)
        values, weights = values[finite], weights[finite]
        if self.by_vote:
            common = float(np.median(values))
        else:
            common = float(values @ weights / weights.sum()) if weights.any() else values.mean()
        allowed = TOLERANCE * abs(common) if self.tolerance is None else self.tolerance
        near = np.abs(values - common) <= allowed
        return Combined(json.dumps(float(common)).encode(), None, _share(near, weights))

    def _classes(self, present: Sequence[MemberAnswer], weights: Floats) -> Combined:
        first = present[0]
        output, scores = None, None
        if not self.by_vote and all(
            one.scores is not None and one.classes and one.classes == first.classes
            for one in present
        ):
            table = np.frombuffer(b"".join(one.scores or b"" for one in present), "<f8")
            mean = weights @ table.reshape(len(present), -1)
            output, scores = first.classes[int(mean.argmax())], mean.astype("<f8").tobytes()
        said = [_class(one.output) for one in present]
        if output is None:
            output = _winner(said, weights)
        agree = np.array([one == _class(output) for one in said])
        return Combined(output, scores, _share(agree, weights))


def _number(output: bytes) -> float:
    value = json.loads(output)
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known else math.nan


def _class(output: bytes) -> bytes:
    """A class as one text: models may write 1 as 1.0."""
    if output[-2:] == b".0":
        return output[:-2]
    return output


def _winner(said: Sequence[bytes], weights: Floats) -> bytes:
    """The class with the most weight; of equal ones, the one that was said first."""
    votes: dict[bytes, float] = {}
    for one, weight in zip(said, weights.tolist(), strict=True):
        votes[one] = votes.get(one, 0.0) + weight
    # Sums of the same weights in another order differ in the last place: that is no majority.
    most = max(votes.values())
    return next(one for one, vote in votes.items() if vote >= most - 1e-9)


def _share(agree: NDArray[np.bool_], weights: Floats) -> float:
    total = weights.sum()
    share = weights[agree].sum() / total if total else agree.mean()
    return min(1.0, round(float(share), 9))


class Ensemble:
    """All members are asked at once.

    The answer is due at the deadline with the members that are there by then: a straggler costs
    its own voice, not the client's time. How far members agree says how sure the answer is; below
    a stated agreement the default output is the better answer.

    References
    ----------
    D. Crankshaw et al., Clipper: A Low-Latency Online Prediction Serving System, NSDI 2017,
    sections 5.2 (ensembles, agreement as confidence) and 5.2.2 (straggler mitigation).
    T. G. Dietterich, Ensemble Methods in Machine Learning, MCS 2000.
    """

    def __init__(self, members: tuple[str, ...], combination: WeightedCombination) -> None:
        self._choice = Choice(members[0], members=members, combination=combination)

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose all."""
        return self._choice

    def versions(self) -> tuple[str, ...]:
        """The members."""
        return self._choice.members
