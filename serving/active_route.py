"""A route in force, and the flags by which the record keeps its answers apart."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from serving.batching import BatchQueue
from serving.inputs import InputCodec
from serving.members import Members
from serving.policies import Policy
from serving.policies.base import context_keys
from serving.policies.single import Single
from serving.records import Application

FLAG_DEFAULT = 1
FLAG_CACHED = 2
FLAG_SHADOW = 4
FLAG_PINNED = 8
"""The client named the version: nothing was chosen, so no test of a random split may count it."""
FLAG_COMBINED = 16
"""The output was made of several versions' answers; the row names the first of them."""


class ActiveRoute:
    """A route in force, with all that a request needs; never changed, only replaced."""

    def __init__(
        self,
        *,
        application: Application,
        revision: int,
        codec: InputCodec,
        policy: Policy,
        queues: Mapping[str, BatchQueue],
        flags: int = 0,
    ) -> None:
        """Put a route together.

        Parameters
        ----------
        queues
            By version reference: one for each of the policy's versions.
        flags
            Of every prediction's record.
        """
        self.application = application
        self.revision = revision
        self.codec = codec
        self.policy = policy
        self.queues = dict(queues)
        self.flags = flags
        self.objective = application.latency_objective.total_seconds()
        """Seconds from arrival to the deadline."""
        self.default = json.dumps(application.default_output).encode()
        """JSON text of the default output."""
        self.replaced = False
        """Whether another revision has taken its place; what was asked before is still answered."""
        self.last_answer = 0.0
        """When it last answered after that, in seconds since 1970."""
        kept = frozenset(application.context_keys)
        # What the policy goes by is kept in any case: feedback must find its way back to it.
        self._kept = kept | context_keys(policy) if kept else kept
        self.members = Members(self.queues, numeric=application.task == "regression")
        """Asks where the policy wants several answers for one request."""
        # What stays the same in every answer of one version, written once.
        self.heads = {ref: _head(application.name, revision, queue) for ref, queue in
                      self.queues.items()}  # fmt: skip

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the queues from being drained until all rows of a long request are asked."""
        for queue in self.queues.values():
            queue.hold()
        try:
            yield
        finally:
            for queue in self.queues.values():
                queue.release()

    def pinned(self, ref: str) -> "ActiveRoute":
        """This route with one of its versions alone, for a client that names it."""
        return ActiveRoute(
            application=self.application, revision=self.revision, codec=self.codec,
            policy=Single(ref), queues={ref: self.queues[ref]}, flags=self.flags | FLAG_PINNED,
        )  # fmt: skip

    def kept_context(self, context: Mapping[str, Any] | None) -> bytes | None:
        """JSON text of the part of a context that the application keeps."""
        if not context:
            return None
        if self._kept:
            context = {name: value for name, value in context.items() if name in self._kept}
        return msgspec.json.encode(context) if context else None


def _head(application: str, revision: int, queue: BatchQueue) -> bytes:
    version = queue.version
    return (
        f'","application":{json.dumps(application)},"revision":{revision},'
        f'"model":{json.dumps(version.model)},"version":{json.dumps(version.version)},"output":'
    ).encode()
