"""One version answers everything."""

from collections.abc import Mapping
from typing import Any

from serving.policies.base import Choice


class Single:
    """The champion alone."""

    def __init__(self, champion: str) -> None:
        self._choice = Choice(champion)

    def choose(self, context: Mapping[str, Any] | None, uniform: float) -> Choice:
        """Choose the champion."""
        return self._choice

    def versions(self) -> tuple[str, ...]:
        """The champion."""
        return (self._choice.primary,)
