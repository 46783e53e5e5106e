"""The network of an owner's containers, which goes with the last of them."""

import contextlib
import threading
from typing import Any

from docker.errors import APIError, NotFound

OWNER = "dev.leadsman.owner"
"""Label of containers and networks: which serving process they belong to."""

NETWORKS = threading.Lock()
"""Held from the look at a network to the start of a container in it: meanwhile the end of the last
container must not take it away."""


def name_of(owner: str) -> str:
    """What an owner's network is called."""
    return f"leadsman-{owner}"


def make(client: Any, owner: str) -> str:
    """Make an owner's network where there is none; its name."""
    name = name_of(owner)
    if not client.networks.list(names=[f"^{name}$"]):
        # Without a way out: a model has no business with the world.
        client.networks.create(name, internal=True, labels={OWNER: owner})
    return name


def remove_empty(client: Any, name: str) -> None:
    """Remove a network of ours that no container is in."""
    for network in client.networks.list(names=[f"^{name}$"], filters={"label": OWNER}):
        with contextlib.suppress(NotFound, APIError):
            network.remove()
