"""The JSON of every policy as JSON Schema, for the API's own documentation."""

from typing import Any

from serving.policies.fields import LONGEST_TEXT, MOST_STEPS, MOST_VERSIONS

_REF: dict[str, Any] = {
    "type": "string", "pattern": r"^[^:\s]+:[^:\s]+$", "description": "A version: model:version.",
}  # fmt: skip
_SHARE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
_KEY: dict[str, Any] = {
    "type": ["string", "null"], "minLength": 1, "maxLength": LONGEST_TEXT,
    "description": "A key of the context.",
}  # fmt: skip
_POSITIVE: dict[str, Any] = {"type": ["number", "null"], "exclusiveMinimum": 0}


def _refs(least: int) -> dict[str, Any]:
    return {
        "type": "array", "items": _REF, "minItems": least, "maxItems": MOST_VERSIONS,
        "uniqueItems": True,
    }  # fmt: skip


_RAMP: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MOST_STEPS,
    "items": {
        "type": "object",
        "properties": {"after_s": {"type": "number", "minimum": 0}, "share": _SHARE},
        "required": ["after_s", "share"],
        "additionalProperties": False,
    },
    "description": "From which age of the revision on, in seconds, which share holds.",
}
_STAGE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "version": _REF,
        "accept_at": {
            "type": "number", "minimum": 0, "maximum": 1,
            "description": "Highest class score from which the answer stands; not on the last.",
        },
    },
    "required": ["version"],
    "additionalProperties": False,
}  # fmt: skip


def _form(title: str, kinds: list[str], required: list[str], **fields: Any) -> dict[str, Any]:
    return {
        "title": title,
        "type": "object",
        "properties": {"kind": {"type": "string", "enum": kinds}, **fields},
        "required": ["kind", *required],
        "additionalProperties": False,
    }


POLICY_SCHEMA: dict[str, Any] = {
    "oneOf": [
        _form("One version", ["single"], ["champion"], champion=_REF),
        _form(
            "A challenger with a share", ["canary"], ["champion", "challenger"],
            champion=_REF, challenger=_REF, share=_SHARE, ramp=_RAMP, sticky_by=_KEY,
        ),
        _form(
            "Challengers that are only recorded", ["shadow"], ["champion", "challengers"],
            champion=_REF, challengers=_refs(1), share=_SHARE, ramp=_RAMP, sticky_by=_KEY,
        ),
        _form(
            "Several versions together", ["ensemble"], ["members", "combine"],
            members=_refs(2), combine={"type": "string", "enum": ["mean", "vote", "weighted"]},
            weights={"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
            min_agreement=_SHARE, min_members={"type": "integer", "minimum": 1},
            tolerance=_POSITIVE,
        ),
        _form(
            "One after the other until one is sure", ["cascade"], ["stages"],
            stages={
                "type": "array", "items": _STAGE, "minItems": 2, "maxItems": MOST_VERSIONS,
            },
        ),
        _form(
            "Learned from feedback", ["exp3", "exp4", "thompson"], ["arms"],
            arms=_refs(2), floor=_SHARE, state_by=_KEY, loss_scale=_POSITIVE,
        ),
        {
            **_form(
                "A class of your own", ["custom"], ["class"],
                **{"class": {"type": "string", "pattern": ":",
                             "description": "package.module:Class"}},
            ),
            "additionalProperties": True,
        },
    ]
}  # fmt: skip
"""Every form that `parse` takes; what it alone can tell, as a repeated version, is left to it."""
