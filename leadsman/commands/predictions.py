"""`leadsman predict` and `feedback`: one answer, one label."""

import json
from typing import Annotated, Any

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.errors import CommandError
from leadsman.terminal import AsJson, out, print_json


def predict(
    application: str,
    row: Annotated[str, typer.Argument(help='One input as JSON: {"age": 41, …} or [41, …].')],
    as_json: AsJson = False,
) -> None:
    """Ask an application for one answer."""
    body = {"input": _json("the input", row)}
    with Client(resolve()) as client:
        answer = client.serving("POST", f"/v1/applications/{application}/predictions", body)
    if as_json:
        print_json(answer)
        return
    reason = f" (default: {answer['default_reason']})" if answer["default"] else ""
    out.print(f"{json.dumps(answer['output'])}{reason}   by {answer['model']}:{answer['version']}")
    out.print(f"prediction {answer['id']}")


def feedback(
    prediction_id: str,
    label: Annotated[str, typer.Argument(help="The true value, as JSON: 1, 0.5, true or text.")],
    as_json: AsJson = False,
) -> None:
    """Report the label of a prediction."""
    try:
        value = json.loads(label)
    except ValueError:
        value = label
    with Client(resolve()) as client:
        answer = client.serving(
            "POST", "/v1/feedback", {"prediction_id": prediction_id, "label": value}
        )
    if answer["rejected"]:
        raise CommandError(f"the label was rejected: {answer['rejected'][0]['detail']}")
    if as_json:
        print_json(answer)
        return
    said = [word for word in ("accepted", "duplicates", "corrected") if answer[word]]
    out.print(f"label {' and '.join(said)}")


def _json(what: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise CommandError(f"{what} is not JSON: {error}") from error
