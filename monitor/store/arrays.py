"""Many numbers as one value of a statement."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import ARRAY, BindParameter, Integer, bindparam


def listed(numbers: Collection[int]) -> BindParameter[Any]:
    """An array for `any_` and `all_`.

    A list of values would make another statement for each length, to be compiled and planned anew.
    """
    return bindparam(None, list(numbers), type_=ARRAY(Integer), unique=True)
