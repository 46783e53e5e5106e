"""`leadsman keys`: who may call."""

from typing import Annotated

import typer

from leadsman.client import Client
from leadsman.connection import resolve
from leadsman.terminal import AsJson, out, print_json, table

app = typer.Typer(help="Create, list and revoke API keys.", no_args_is_help=True)


@app.command("create")
def create(
    name: str,
    scope: Annotated[
        list[str], typer.Option(help="predict, feedback, read or admin; may be repeated.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a key. It is shown once."""
    with Client(resolve()) as client:
        made = client.serving("POST", "/v1/keys", {"name": name, "scopes": scope})
    if as_json:
        print_json(made)
    else:
        out.print(f"{made['key']}   (shown once; id {made['id']})")


@app.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """List the keys, without what they are."""
    with Client(resolve()) as client:
        found = client.serving("GET", "/v1/keys")["keys"]
    if as_json:
        print_json(found)
        return
    rows = (
        (key["id"], key["name"], " ".join(key["scopes"]), key["created_at"], key.get("revoked_at"))
        for key in found
    )
    out.print(table("keys", ["id", "name", "scopes", "created", "revoked"], rows))


@app.command("revoke")
def revoke(key_id: str) -> None:
    """Take a key's rights away."""
    with Client(resolve()) as client:
        client.serving("DELETE", f"/v1/keys/{key_id}")
    out.print(f"revoked {key_id}")
