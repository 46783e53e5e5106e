"""The demo on a service that runs already, in containers for example."""

import os
from pathlib import Path

from leadsman.connection import Connection, resolve
from leadsman.demo.service import clear
from leadsman.errors import CommandError

DATABASE = "LEADSMAN_DATABASE_URL"
"""Variable of the Postgres in which that service keeps its record."""


class Elsewhere:
    """A service that somebody else starts, sets and stops.

    Parameters
    ----------
    data_dir
        Where the demo keeps what it needs between its parts; made afresh.
    """

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.connection: Connection = resolve(data_dir)

    def start(self) -> None:
        """Note where the record is.

        Raises
        ------
        CommandError
            If the environment does not say where everything is.
        """
        database = os.environ.get(DATABASE)
        if not database or not self.connection.key:
            raise CommandError(
                "to play on a service that runs, set LEADSMAN_URL, LEADSMAN_MONITOR_URL, "
                f"LEADSMAN_API_KEY and {DATABASE}"
            )
        clear(self.data_dir)
        (self.data_dir / "database_url").write_text(database + "\n")

    def stop(self) -> None:
        """Leave it as it is: others may use it."""
