"""`leadsman deploy`: register an artefact and let it answer."""

import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.errors import CommandError
from leadsman.rows import Reference, read_reference
from leadsman.terminal import AsJson, champion_of, err, out, print_json
from serving.replica.framework_modules import MODULES
from serving.replica.inspection import (
    DamagedArtefactError,
    ForeignArtefactError,
    expect,
    inspect,
)

PROGRESS_INTERVAL = 1.0
"""Seconds between two looks at how far a start is."""

FIRST_ROWS = 200
"""Rows that an application's input schema is read off."""


class Task(StrEnum):
    """What an application predicts."""

    BINARY = "binary"
    MULTICLASS = "multiclass"
    REGRESSION = "regression"


class Place(StrEnum):
    """Where a new version stands in the route."""

    CHAMPION = "champion"
    CANARY = "canary"
    SHADOW = "shadow"


def deploy(
    application: str,
    artefact: Annotated[Path, typer.Argument(help="A file, or a folder with an entry.")],
    *,
    model: Annotated[str, typer.Option(help="Name of the model.")],
    version: Annotated[str, typer.Option(help="Name of this version.")],
    framework: Annotated[
        str | None, typer.Option(help=f"{', '.join(MODULES)}; read off the artefact by default.")
    ] = None,
    entry: Annotated[
        str | None,
        typer.Option(help="module:callable of python, a signature of tensorflow, a file inside."),
    ] = None,
    classes: Annotated[
        str | None,
        typer.Option(help="Classes in the order of the scores, as no,yes, for networks, boosters."),
    ] = None,
    python: Annotated[
        str | None, typer.Option(help="Python of its environment, as 3.12, or an interpreter.")
    ] = None,
    requirements: Annotated[
        Path | None,
        typer.Option(help="requirements.txt that its own environment is made from."),
    ] = None,
    learn_every: Annotated[
        float | None,
        typer.Option(help="Seconds between two versions that feedback teaches; river.", min=1),
    ] = None,
    place: Annotated[
        Place,
        typer.Option(
            "--as", help="A new champion is guarded by the old one, which goes on in the shadow."
        ),
    ] = Place.CHAMPION,
    share: Annotated[
        float, typer.Option(help="Share of the traffic for a canary.", min=0.0, max=1.0)
    ] = 0.05,
    reference: Annotated[
        Path | None, typer.Option(help="CSV or Parquet of rows in time order: what normal is.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column of the label in these rows.")] = None,
    output: Annotated[
        str | None, typer.Option(help="Column of this version's answers in these rows.")
    ] = None,
    task: Annotated[Task, typer.Option(help="Of an application that is new.")] = Task.BINARY,
    reason: Annotated[str | None, typer.Option(help="Why, for the history.")] = None,
    as_json: AsJson = False,
) -> None:
    """Register an artefact as a version and put it into the application's route."""
    manifest = _manifest(artefact, version, framework) | _stated(
        entry=entry, python=python, classes=_classes(classes), requirements=_lines(requirements),
        learn_every=learn_every,
    )  # fmt: skip
    rows = read_reference(reference, label=label, output=output) if reference else None
    name = f"{model}:{version}"
    with Client(resolve(), timeout=600.0) as client, err.status(f"deploying {name}") as shown:
        registered = _register(client, model, manifest, artefact)
        if rows is not None:
            shown.update(f"storing {len(rows['rows'])} reference rows of {name}")
            with _progress(model, version, shown.update):
                client.serving("PUT", f"/v1/models/{model}/versions/{version}/reference", rows)
        _ensure_application(client, application, task, rows, registered["manifest"])
        shown.update(f"starting {name}, probing it, switching to it")
        route = client.found("GET", f"/v1/applications/{application}/route")
        body: dict[str, Any] = {"policy": policy_for(name, place, share, route)}
        if route is not None:
            body["expected_revision"] = route["revision"]
        if reason:
            body["reason"] = reason
        with _progress(model, version, shown.update):
            revision = client.serving("PUT", f"/v1/applications/{application}/route", body)
    if as_json:
        print_json(revision)
    else:
        out.print(
            f"{application} is at revision {revision['revision']} "
            f"({revision['policy']['kind']}): {champion_of(revision['policy'])} answers"
        )


@contextmanager
def _progress(model: str, version: str, show: Callable[[str], None]) -> Iterator[None]:
    """Show what serving does to start a version meanwhile: an environment takes minutes."""
    done = threading.Event()

    def follow() -> None:
        with Client(resolve(), timeout=10.0) as client:
            while not done.wait(PROGRESS_INTERVAL):
                with suppress(CommandError):
                    found = client.serving("GET", f"/v1/models/{model}/versions/{version}")
                    if found.get("progress") and not done.is_set():
                        show(f"starting {model}:{version}: {found['progress']}")

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def policy_for(
    name: str, place: Place, share: float, route: dict[str, Any] | None
) -> dict[str, Any]:
    """Form the policy that puts a version in its place beside what answers now.

    Parameters
    ----------
    name
        The version, as model:version.
    place
        Where it shall stand.
    share
        Of the traffic, for a canary.
    route
        The revision in force, none for an application without one.
    """
    old = route["policy"].get("champion") if route else None
    if place is Place.CHAMPION:
        if old is None or old == name:
            return {"kind": "single", "champion": name}
        return {"kind": "shadow", "champion": name, "challengers": [old]}
    if old is None:
        raise CommandError(f"a {place} needs a champion beside it; deploy one --as champion first")
    if place is Place.CANARY:
        return {"kind": "canary", "champion": old, "challenger": name, "share": share}
    return {"kind": "shadow", "champion": old, "challengers": [name]}


def _manifest(artefact: Path, version: str, framework: str | None) -> dict[str, Any]:
    """What the artefact says of itself, before it is sent: it may be large."""
    if not artefact.exists():
        raise CommandError(f"no artefact {artefact}")
    if framework not in (None, *MODULES):
        raise CommandError(f"--framework: expected {', '.join(MODULES)}, got {framework}")
    try:
        found = inspect(artefact) if framework is None else expect(artefact, framework)
    except (DamagedArtefactError, ForeignArtefactError) as error:
        raise CommandError(f"{artefact.name}: {error}") from error
    known = framework or (found.framework if found is not None else None)
    if known is None:
        raise CommandError(f"{artefact.name} does not say what it is; give --framework")
    return {"version": version, "framework": known}


def _stated(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _classes(text: str | None) -> list[Any] | None:
    """Names as they stand, or numbers where all of them are."""
    if text is None:
        return None
    names = [one.strip() for one in text.split(",")]
    try:
        return [int(one) for one in names]
    except ValueError:
        return list(names)


def _lines(requirements: Path | None) -> list[str] | None:
    if requirements is None:
        return None
    try:
        lines = requirements.read_text().splitlines()
    except OSError as error:
        raise CommandError(f"--requirements: {requirements}: {error.strerror}") from error
    stripped = [line.split(" #")[0].strip() for line in lines]
    return [line for line in stripped if line and not line.startswith("#")]


def _register(
    client: Client, model: str, manifest: dict[str, Any], artefact: Path
) -> dict[str, Any]:
    if artefact.is_dir():
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w:gz") as archive:
            archive.add(artefact, arcname=".")
        content, name = packed.getvalue(), f"{artefact.resolve().name}.tar.gz"
    else:
        content, name = artefact.read_bytes(), artefact.name
    registered: dict[str, Any] = client.serving(
        "POST",
        f"/v1/models/{model}/versions",
        data={"manifest": json.dumps(manifest)},
        files={"artefact": (name, content, "application/octet-stream")},
    )
    return registered


def _ensure_application(
    client: Client, name: str, task: Task, reference: Reference | None, manifest: dict[str, Any]
) -> None:
    if client.found("GET", f"/v1/applications/{name}") is not None:
        return
    schema = manifest.get("input_schema")
    if reference is not None:
        schema = input_schema(reference["rows"][:FIRST_ROWS])
    if schema is None:
        raise CommandError(
            f"there is no application {name} yet, and the artefact does not tell its inputs: give "
            "--reference with rows, from which the form of its input is read, or create it over "
            "REST"
        )
    client.serving(
        "POST",
        "/v1/applications",
        {
            "name": name,
            "task": task.value,
            "input_schema": schema,
            "latency_objective_ms": 100,
            "default_output": None,
        },
    )


def input_schema(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Read the JSON Schema of one input off some rows.

    A feature that is null in one of them may be null; one that holds text anywhere is text.
    """
    properties = {}
    for feature in rows[0]:
        values = [row[feature] for row in rows]
        kind = "string" if any(isinstance(value, str) for value in values) else "number"
        properties[feature] = {"type": [kind, "null"] if None in values else kind}
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
