"""Where the running service is and with which key to speak to it."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DATA_DIR = Path(".leadsman")
"""Where `leadsman up` keeps everything unless told otherwise."""

SERVING_URL = "http://127.0.0.1:8000"
MONITOR_URL = "http://127.0.0.1:8001"


@dataclass(frozen=True, slots=True)
class Connection:
    """Addresses of a running service and a key for it."""

    serving_url: str
    monitor_url: str
    key: str | None


def data_dir() -> Path:
    """Return the folder that `leadsman up` of this place uses."""
    return Path(os.environ.get("LEADSMAN_DATA_DIR", DEFAULT_DATA_DIR))


def resolve(folder: Path | None = None) -> Connection:
    """Find the service: what the environment says, else what `up` left in its data folder.

    Parameters
    ----------
    folder
        The data folder; `LEADSMAN_DATA_DIR` or ./.leadsman by default.
    """
    folder = folder or data_dir()
    found = _addresses(folder / "addresses.json")
    key = os.environ.get("LEADSMAN_API_KEY")
    if not key and (folder / "admin_key").is_file():
        key = (folder / "admin_key").read_text().strip()
    return Connection(
        os.environ.get("LEADSMAN_URL", found.get("serving", SERVING_URL)).rstrip("/"),
        os.environ.get("LEADSMAN_MONITOR_URL", found.get("monitor", MONITOR_URL)).rstrip("/"),
        key or None,
    )


def remember(folder: Path, serving_url: str, monitor_url: str) -> None:
    """Leave the addresses in the data folder for the commands that come later."""
    text = json.dumps({"serving": serving_url, "monitor": monitor_url})
    (folder / "addresses.json").write_text(text + "\n")


def _addresses(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    found: dict[str, str] = json.loads(file.read_text())
    return found
