"""The command line: which words lead to which command."""

import os
import sys

import typer

from leadsman.commands import (
    alerts,
    automation,
    dashboards,
    demo,
    deploy,
    incident,
    keys,
    parts,
    predictions,
    remedies,
    rollback,
    status,
    up,
    watches,
)
from leadsman.commands import replay as replay_command
from leadsman.errors import CommandError

app = typer.Typer(
    help="Serve models, watch them, put the last good one back when one fails.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("up")(up.up)
app.command("demo")(demo.demo)
app.command("deploy")(deploy.deploy)
app.command("rollback")(rollback.rollback)
app.command("status")(status.status)
app.command("predict")(predictions.predict)
app.command("feedback")(predictions.feedback)
app.add_typer(alerts.app, name="alerts")
app.command("incident")(incident.incident)
app.command("replay")(replay_command.replay)
app.command("migrate")(parts.migrate)
app.command("serve")(parts.serve)
app.command("monitor")(parts.monitor)
app.add_typer(remedies.app, name="remedies")
app.add_typer(automation.app, name="automation")
app.add_typer(watches.app, name="watches")
app.add_typer(keys.app, name="keys")
app.add_typer(dashboards.app, name="dashboards")


def main() -> None:
    """Run a command; an error is one line on stderr and a status that is not 0."""
    try:
        app()
    except CommandError as error:
        _fail(str(error), error.exit_status)
    except KeyboardInterrupt:
        _fail("stopped", 130)
    except BrokenPipeError:
        # The reader of our output went away, as `head` does.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("LEADSMAN_TRACEBACK"):
            raise
        _fail(f"{type(error).__name__}: {error} (LEADSMAN_TRACEBACK=1 shows where)", 1)


def _fail(sentence: str, code: int) -> None:
    print(f"leadsman: {' '.join(sentence.split())}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
