"""Everything that is made from code, by the name of its file under `generated/`."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from dashboards import (
    application,
    drift,
    fleet,
    monitor_health,
    provisioning,
    rules,
    serving_health,
)
from dashboards.provisioning import CONSOLE, GENERATED

SCHEMA = Path(__file__).parent / "schema"
"""Made from Grafana's own types; schema/README.md says how."""

_HEAD = "# Made by `leadsman dashboards build`; change dashboards/*.py instead.\n"


def dashboards(console: str = CONSOLE) -> list[dict[str, Any]]:
    """All dashboards as Grafana reads them.

    Parameters
    ----------
    console
        Address under which people reach the monitor's console.
    """
    every = (fleet, application, drift, monitor_health, serving_health)
    return [one.build(console) for one in every]


def files(console: str = CONSOLE) -> dict[str, str]:
    """The text of each file, by its path below the folder."""
    drawn = {
        f"grafana/dashboards/{one['uid'].removeprefix('leadsman-')}.json": _json(one)
        for one in dashboards(console)
    }
    return {
        **drawn,
        "prometheus/leadsman.rules.yml": _yaml(rules.groups()),
        "grafana/provisioning/datasources/leadsman.yml": _yaml(provisioning.data_sources()),
        "grafana/provisioning/dashboards/leadsman.yml": _yaml(provisioning.providers()),
    }


def differences(folder: Path = GENERATED, console: str = CONSOLE) -> list[str]:
    """What is missing, other than the code makes it, or left over; one sentence each."""
    made = files(console)
    found = []
    for name, text in made.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{name} is missing")
        elif path.read_text(encoding="utf-8") != text:
            found.append(f"{name} is not what the code makes")
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    return found + [f"{name} is not made by the code" for name in sorted(there - made.keys())]


def faults(console: str = CONSOLE) -> list[str]:
    """What in the dashboards is not as Grafana's types have it; one sentence each."""
    found = []
    for one in dashboards(console):
        parts = [("dashboard", "", one)]
        for number, panel in enumerate(one["panels"]):
            place, kind = f"panels/{number}/", panel["type"]
            parts.append((f"{kind}.options", f"{place}options/", panel.get("options")))
            fields = panel.get("fieldConfig", {}).get("defaults", {}).get("custom")
            parts.append((f"{kind}.fields", f"{place}fieldConfig/defaults/custom/", fields))
        for schema, place, part in parts:
            if part is not None and (SCHEMA / f"{schema}.schema.json").is_file():
                found += [
                    f"{one['uid']} at /{place}{'/'.join(map(str, error.absolute_path))}: "
                    f"{error.message}"
                    for error in validator(schema).iter_errors(part)
                ]
    return found


@cache
def validator(schema: str) -> jsonschema.Draft7Validator:
    """Holds something against one of the schemas: `dashboard`, or a panel's options or fields."""
    text = (SCHEMA / f"{schema}.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft7Validator(json.loads(text))


def write(folder: Path = GENERATED, console: str = CONSOLE) -> list[str]:
    """Write all files and remove what is left over; the names of those that changed."""
    made = files(console)
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


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
