"""What an operator says of a launcher; importing it asks for none of the launchers' packages."""

from dataclasses import dataclass

TASKS = 512
"""Processes and threads of one replica."""

NO_NETWORK = "none"
OWN_NETWORK = "own"


@dataclass(frozen=True)
class DockerOptions:
    """What an operator says of containers."""

    base_image: str = "python:{python}-slim"
    """Image that environments begin with; `{python}` is the Python of the version."""
    network: str = NO_NETWORK
    """`none`; `own`, a network without a way out, with frames over TCP; or the name of one."""
    tasks: int = TASKS
    """Processes and threads of one container."""
