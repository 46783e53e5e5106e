"""What bodies of the admin API have in common."""

import math
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from serving.nesting import MOST_LEVELS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
"""Names of applications, models and versions: what fits into a path, a label and a file name."""


def _storable(value: Any) -> Any:
    """Refuse what JSON text may hold and Postgres, or who reads it from there, cannot.

    Not recursive: a body may be nested deeper than Python's stack.
    """
    layer: list[Any] = [value]
    for _ in range(MOST_LEVELS + 1):
        inner: list[Any] = []
        for one in layer:
            if isinstance(one, str):
                if "\0" in one or any("\ud800" <= char <= "\udfff" for char in one):
                    raise ValueError("text without NUL and without lone surrogates")
            elif isinstance(one, float):
                if not math.isfinite(one):
                    raise ValueError("finite numbers")
            elif isinstance(one, dict):
                inner.extend(one.keys())
                inner.extend(one.values())
            elif isinstance(one, list):
                inner.extend(one)
        if not inner:
            return value
        layer = inner
    raise ValueError(f"at most {MOST_LEVELS} levels of arrays and objects")


class Body(BaseModel):
    """A body that comes in: no unknown fields, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _only_what_can_be_kept(cls, value: Any) -> Any:
        return _storable(value)


class View(BaseModel):
    """A body that goes out."""

    model_config = ConfigDict(use_attribute_docstrings=True)


Reason = Annotated[
    str | None, Field(max_length=2000, description="Why, for those who read the history.")
]
Evidence = Annotated[
    dict[str, Any] | None, Field(description="What the change was decided on, for the history.")
]
