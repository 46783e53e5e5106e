"""A policy of the operator's own, by import path."""

import importlib
from collections.abc import Mapping
from typing import Any

from serving.policies.base import Policy


def load(path: str, options: Mapping[str, Any]) -> Policy:
    """Import a class and make it with the route's other fields as keyword arguments.

    Parameters
    ----------
    path
        `package.module:Class`, importable by the service.

    Raises
    ------
    ValueError
        If there is no such class, it refuses the options, or what it makes is no policy.
    """
    module_name, _, name = path.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), name)(**options)
    except Exception as error:
        # The code is the operator's own: it may raise anything.
        raise ValueError(f"{path}: {error!r}") from error
    if not isinstance(made, Policy):
        raise ValueError(f"{path} makes a {type(made).__qualname__} without choose and versions")
    return made
