"""A version answers its own reference rows, where they came without answers."""

import asyncio
import json
from dataclasses import replace

from serving.batching import Outcome
from serving.errors import ProbeFailedError
from serving.inputs import compile_schema
from serving.records import Version
from serving.references import ReferenceRows
from serving.replicas import Replicas, key_of
from serving.route_states import unkept_schema

REFERENCE_SECONDS = 300.0
"""Longest time in which a version may answer its reference rows."""


async def answer_reference(
    replicas: Replicas, version: Version, rows: ReferenceRows
) -> ReferenceRows:
    """Let a version answer its reference rows.

    Raises
    ------
    VersionFailedToStartError, ProbeFailedError
        If it does not start, or does not answer a row.
    """
    schema = unkept_schema(rows.schema)
    codec = compile_schema(schema.schema)
    with replicas.claim([key_of(version, schema)]):
        queue = await replicas.ready(version, schema)
        first = dict(zip(rows.features, rows.inputs[0], strict=True))
        await replicas.probe(queue, codec, [first])
        deadline = asyncio.get_running_loop().time() + REFERENCE_SECONDS
        asked = [queue.submit(codec.check(row), deadline, background=True) for row in rows.inputs]
        answers = await asyncio.gather(*asked)
    for place, answer in enumerate(answers):
        if answer.outcome != Outcome.ANSWERED:
            reason = answer.error or answer.outcome.name.lower()
            raise ProbeFailedError(version.ref, f"row {place}: {reason}")
    return replace(rows, outputs=[json.loads(answer.output) for answer in answers])
