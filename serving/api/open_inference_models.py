"""What a name of the Open Inference Protocol stands for: a route, its versions, their tensors."""

from dataclasses import dataclass

from pydantic import Field

from serving.api.bodies import View
from serving.api.context import Services
from serving.api.open_inference_bodies import MATRIX
from serving.batching import State
from serving.errors import (
    ApplicationNotFoundError,
    ModelAmbiguousError,
    ModelNotFoundError,
    RouteNotFoundError,
    ServingError,
    StartingError,
    VersionNotFoundError,
)
from serving.inference import ActiveRoute
from serving.tensors import datatype_of

FEATURE_TYPES = {"number": "FP64", "integer": "INT64", "boolean": "BOOL", "string": "BYTES"}
"""Datatype that metadata name for a feature; every numeric one is taken."""


class TensorView(View):
    """What a tensor looks like; -1 is the number of rows."""

    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, str] = Field(default_factory=dict)


class ModelView(View):
    """A model, and the tensors that it takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorView]
    outputs: list[TensorView]


@dataclass(frozen=True, slots=True)
class Named:
    """What a path names."""

    name: str
    route: ActiveRoute
    refs: tuple[str, ...]
    """The versions that may answer, the champion first."""
    pinned: bool
    """Whether the path leaves the route no choice."""

    @property
    def is_ready(self) -> bool:
        """Whether every version that may answer has a replica."""
        return all(self.route.queues[ref].state == State.READY for ref in self.refs)

    @property
    def datatype(self) -> str:
        """Datatype of the output."""
        if self.route.application.task == "regression":
            return "FP64"
        hello = self.route.queues[self.refs[0]].hello
        return "BYTES" if hello is None else datatype_of(hello.classes or ())


def find(services: Services, name: str, version: str | None = None) -> Named:
    """The route that answers for a name.

    Raises
    ------
    ModelNotFoundError, VersionNotFoundError
        If nothing that is served has the name.
    ModelAmbiguousError
        If several applications use the model.
    RouteNotFoundError
        If the application has no route.
    """
    inference = services.inference
    route = inference.routes.get(name)
    if route is not None:
        refs = route.policy.versions()
        if version is None:
            return Named(name, route, refs, False)
        found = tuple(ref for ref in refs if version in (ref, ref.partition(":")[2]))
        if len(found) != 1:
            raise VersionNotFoundError(f"{name}:{version}")
        return Named(name, route, found, True)
    if name in inference.known:
        waits = inference.restoring or name in inference.unread
        raise StartingError if waits else RouteNotFoundError(name)
    linked = {
        application: refs
        for application, one in inference.routes.items()
        if (refs := _of_model(one, name))
    }
    if len(linked) > 1:
        raise ModelAmbiguousError(name, sorted(linked))
    if not linked:
        raise StartingError if inference.restoring else ModelNotFoundError(name)
    [(application, refs)] = linked.items()
    route = inference.routes[application]
    if version is not None:
        if f"{name}:{version}" not in refs:
            raise VersionNotFoundError(f"{name}:{version}")
        return Named(name, route, (f"{name}:{version}",), True)
    # A route that mixes models could answer with another one: then the name is the model's alone.
    mixed = len(refs) < len(route.policy.versions())
    return Named(name, route, refs[:1] if mixed else refs, mixed)


def _of_model(route: ActiveRoute, model: str) -> tuple[str, ...]:
    return tuple(ref for ref in route.policy.versions() if ref.partition(":")[0] == model)


def metadata_of(named: Named) -> ModelView:
    codec = named.route.codec
    if codec.encoding == "float64":
        names = {"features": ", ".join(codec.features)}
        inputs = [TensorView(name=MATRIX, datatype="FP64", shape=[-1, len(codec.features)],
                             parameters=names)]  # fmt: skip
    else:
        inputs = [
            TensorView(name=name, datatype=FEATURE_TYPES[kind], shape=[-1, 1])
            for name, kind in zip(codec.features, codec.kinds, strict=True)
        ]
    outputs = [TensorView(name="output", datatype=named.datatype, shape=[-1])]
    queue = named.route.queues[named.refs[0]]
    if queue.hello is not None and queue.hello.classes:
        width = len(queue.hello.classes)
        outputs.append(TensorView(name="scores", datatype="FP64", shape=[-1, width]))
    outputs += [
        TensorView(name="prediction_id", datatype="BYTES", shape=[-1]),
        TensorView(name="default", datatype="BOOL", shape=[-1]),
        TensorView(name="version", datatype="BYTES", shape=[-1]),
    ]
    return ModelView(
        name=named.name,
        versions=[ref.partition(":")[2] for ref in named.refs],
        platform=f"leadsman_{queue.version.framework}",
        inputs=inputs,
        outputs=outputs,
    )


NO_MODEL: tuple[type[ServingError], ...] = (
    ModelNotFoundError, VersionNotFoundError, ApplicationNotFoundError, RouteNotFoundError,
    ModelAmbiguousError,
)  # fmt: skip
