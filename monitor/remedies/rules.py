"""Rules: what an alarm of a watch may set off, step after step."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from monitor.errors import InvalidRequestError
from monitor.records import Json, Watch

ROUTE_KINDS = ("roll_back", "swap", "change_share", "promote", "stop_canary", "challenge")
"""Remedies that change a route by one call to serving."""
TELLING = ("notify", "page")
"""Steps that only tell people."""
LONGEST = 8
"""Steps of one rule at most."""

Ref = Annotated[str, Field(pattern=r"^[^:\s]+:[^:\s]+$", examples=["fraud:1"])]
Number = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""Of a row, as the record counts them."""
Share = Annotated[float, Field(ge=0, lt=1)]


class _Step(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Notify(_Step):
    """Tell people by the alert alone."""

    kind: Literal["notify"]


class Page(_Step):
    """Make the alert fire at tier page, whatever it was."""

    kind: Literal["page"]


class RollBack(_Step):
    """Return to the last good revision, or to a named one."""

    kind: Literal["roll_back"]
    to_revision: Number | None = None


class Swap(_Step):
    """Let a named version answer alone."""

    kind: Literal["swap"]
    version: Ref


class ChangeShare(_Step):
    """Give the canary another share of the traffic."""

    kind: Literal["change_share"]
    share: Share


class Promote(_Step):
    """Make the challenger champion; the champion before goes into its shadow."""

    kind: Literal["promote"]


class StopCanary(_Step):
    """Take the challenger out of the route."""

    kind: Literal["stop_canary"]


class Retrain(_Step):
    """Call a webhook that trains; put what it registers into the shadow and let the paired test
    decide."""

    kind: Literal["retrain"]
    webhook: Number
    """Number of a registered webhook."""
    patience: Annotated[int, Field(ge=100, le=10**12)] = 5_000
    """Labels that both versions answered after which a version not found better is withdrawn."""


Step = Annotated[
    Notify | Page | RollBack | Swap | ChangeShare | Promote | StopCanary | Retrain,
    Field(discriminator="kind"),
]
Kind = Literal["notify", "page", "roll_back", "promote", "stop_canary"]
"""Steps that need no settings and may be named by their kind alone."""
Rule = Annotated[list[Kind | Step], Field(min_length=1, max_length=LONGEST)]
"""Steps in order: the next is taken where the one before was not shown to have helped."""

_RULE: TypeAdapter[list[Step]] = TypeAdapter(
    Annotated[list[Step], Field(min_length=1, max_length=LONGEST)]
)


def parse(remedy: object, *, where: str = "/remedy") -> list[Json]:
    """Read a remedy as people write it: a kind, one step, or a list of steps.

    Returns
    -------
    list of dict
        The steps with all their settings.

    Raises
    ------
    InvalidRequestError
        If a step is none, naming the place.
    """
    given = remedy if isinstance(remedy, list) else [remedy]
    steps = [{"kind": step} if isinstance(step, str) else step for step in given]
    steps = [step.model_dump() if isinstance(step, BaseModel) else step for step in steps]
    try:
        rule = _RULE.validate_python(steps)
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(str(part) for part in first["loc"])
        raise InvalidRequestError(f"{where}/{place}", first["msg"], first.get("input")) from error
    for number, step in enumerate(rule):
        # Nothing tells whether a notification helped, so no step could come after it.
        if step.kind in TELLING and number + 1 < len(rule):
            raise InvalidRequestError(
                f"{where}/{number}", "a last step, or one that acts", step.kind
            )
    return [step.model_dump(mode="json", exclude_none=True) for step in rule]


def steps_of(watch: Watch) -> list[Json]:
    """The rule of a watch; a remedy alone is a rule of one step."""
    return watch.rule or [{"kind": watch.remedy}]


def acts(rule: list[Json]) -> bool:
    """Whether any step does more than tell people."""
    return any(step["kind"] not in TELLING for step in rule)
