"""Everything that is made from code, by the name of its file under `generated/`."""

from pathlib import Path
from typing import Any

import yaml

from dashboards import provisioning, rules

GENERATED = Path(__file__).parent / "generated"
"""Where the files lie in the package; a test compares them with what the code makes."""

_HEAD = "# Made by `leadsman dashboards build`; change dashboards/*.py instead.\n"


def files() -> dict[str, str]:
    """The text of each file, by its path below the folder."""
    return {
        "prometheus/leadsman.rules.yml": _yaml(rules.groups()),
        "grafana/provisioning/datasources/leadsman.yml": _yaml(provisioning.data_sources()),
        "grafana/provisioning/dashboards/leadsman.yml": _yaml(provisioning.providers()),
    }


def differences(folder: Path = GENERATED) -> list[str]:
    """What is missing, other than the code makes it, or left over; one sentence each."""
    made = files()
    found = []
    for name, text in made.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{name} is not what the code makes")
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found + [f"{name} is not made by the code" for name in sorted(there - made.keys())]


def write(folder: Path = GENERATED) -> list[str]:
    """Write all files and remove what is left over; the names of those that changed."""
    made = files()
    changed = []
    for name, text in made.items():
        path = folder / name
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        changed.append(name)
    for path in list(folder.rglob("*")):
        if path.is_file() and str(path.relative_to(folder)) not in made:
            path.unlink()
            changed.append(str(path.relative_to(folder)))
    return changed


def _yaml(value: dict[str, Any]) -> str:
    return _HEAD + yaml.safe_dump(value, sort_keys=False, width=100, allow_unicode=True)
