"""The cheap version first; the next one only where it is not sure."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from serving.policies.base import Choice, MemberAnswer, Stage


class Cascade:
    """Versions asked one after the other until one is sure enough.

    A version is as sure as its highest class score; one without scores never is. Where the
    deadline passes, or a later stage fails, the last answer that came stands.

    References
    ----------
    X. Wang, Y. Luo, D. Crankshaw, A. Tumanov, F. Yu, J. E. Gonzalez, IDK Cascades: Fast Deep
    Learning by Learning not to Overthink, UAI 2018.
    P. Viola, M. Jones, Rapid Object Detection using a Boosted Cascade of Simple Features, CVPR
    2001.
    """

    def __init__(self, stages: tuple[Stage, ...]) -> None:
        self._choice = Choice(stages[0].version, stages=stages)

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose the order."""
        return self._choice

    def versions(self) -> tuple[str, ...]:
        """The stages, the first to be asked first."""
        return tuple(stage.version for stage in self._choice.stages)


def is_sure(stage: Stage, answer: MemberAnswer) -> bool:
    """Whether a stage's answer stands."""
    if stage.accept_at is None:
        return True
    if not answer.scores:
        return False
    return bool(np.frombuffer(answer.scores, "<f8").max() >= stage.accept_at)
