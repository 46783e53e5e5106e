"""The data plane of serving without a database: artefacts, a journal, an application over HTTP."""

import asyncio
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import joblib
import numpy as np
from fastapi import FastAPI
from sklearn.linear_model import LogisticRegression
from uvicorn import Config
from uvicorn.server import ServerState

from serving.api import predictions, problems
from serving.api.context import Services
from serving.api.prediction_protocol import PredictionProtocol
from serving.batching import BatchLimits, BatchQueue, QueueOptions
from serving.copy_format import PredictionRecord, decode_predictions
from serving.inference import ActiveRoute, Inference
from serving.inputs import compile_schema
from serving.journal import Journal
from serving.keys import KeyRing, digest
from serving.launchers.process import ProcessLauncher
from serving.policies import parse
from serving.records import Application, Durability, Key, Task, Version
from serving.settings import Settings

SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "number"}, "b": {"type": ["number", "null"]}},
    "required": ["a", "b"],
}
START_WITHIN = timedelta(seconds=30)
KEY = "lsm_" + "k" * 43


def version(
    artefact: Path, *, name: str = "m:1", framework: str = "python", entry: str | None = None,
    number: int = 1,
) -> Version:  # fmt: skip
    """A version whose artefact lies at a path."""
    model, _, version_name = name.partition(":")
    manifest = {} if entry is None else {"entry": entry}
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    return Version(number, model, version_name, framework, manifest, "0" * 64, 1, artefact, moment)


def python_version(folder: Path, code: str, *, name: str = "m:1", number: int = 1) -> Version:
    """A version that is a Python file with a callable `answer`."""
    path = folder / f"{name.replace(':', '_')}.py"
    path.write_text(textwrap.dedent(code))
    return version(path, name=name, entry="model:answer", number=number)


def sklearn_version(folder: Path, *, name: str = "m:1", number: int = 1) -> Version:
    """A logistic regression on two features: is a > b?"""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(400, 2))
    path = folder / f"{name.replace(':', '_')}.joblib"
    joblib.dump(LogisticRegression().fit(rows, (rows[:, 0] > rows[:, 1]).astype(int)), path)
    return version(path, name=name, framework="sklearn", number=number)


def application(
    *, task: Task = "binary", objective: float = 10.0, default: Any = -1,
    durability: Durability = "journal", context_keys: tuple[str, ...] = (),
) -> Application:  # fmt: skip
    """An application with a patient objective, in seconds."""
    return Application(
        id=1, name="app", task=task, input_schema=None, default_output=default,
        latency_objective=timedelta(seconds=objective), context_keys=context_keys,
        durability=durability, created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


@asynccontextmanager
async def started(
    folder: Path, of: Version, *, limits: BatchLimits | None = None,
    features: tuple[str, ...] = ("a", "b"), encoding: str = "float64",
    options: QueueOptions | None = None, count: int = 1,
) -> AsyncIterator[BatchQueue]:  # fmt: skip
    """A queue with its replica up."""
    queue = BatchQueue(
        of, ProcessLauncher(folder / "replicas"), features=features, encoding=encoding,
        limits=limits, options=options,
    )  # fmt: skip
    try:
        await queue.start(START_WITHIN, count)
        yield queue
    finally:
        await queue.stop()


@dataclass
class Plane:
    """Serving's data plane behind HTTP."""

    inference: Inference
    journal: Journal
    client: httpx.AsyncClient
    """Goes through a connection, as clients do."""
    framework: httpx.AsyncClient
    """Goes straight to the web framework's route."""
    server: ServerState
    """Connections and tasks of the client's side."""

    def records(self) -> list[PredictionRecord]:
        """Every record that the journal holds, in order."""
        self.journal.flush()
        blobs = self.journal.file.find("predictions", -(2**62), 2**62)
        return [record for blob in blobs for record in decode_predictions(blob)]


@asynccontextmanager
async def plane(
    folder: Path, queues: dict[str, BatchQueue], *, policy: dict[str, Any] | None = None,
    of: Application | None = None, schema: dict[str, Any] | None = None, limit: int = 100_000,
    journal_limit: int = 2**30, rows_limit: int = 10_000,
) -> AsyncIterator[Plane]:  # fmt: skip
    """The prediction routes over queues, with a journal and one key."""
    journal = Journal(folder / "journal.db", journal_limit)
    inference = Inference(journal)
    served = of or application()
    inference.known.add(served.name)
    inference.routes[served.name] = ActiveRoute(
        application=served, revision=1, codec=compile_schema(schema or SCHEMA),
        policy=parse(policy or {"kind": "single", "champion": next(iter(queues))}), queues=queues,
    )  # fmt: skip
    keys = KeyRing()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    key = Key(uuid4(), "t", digest(KEY.encode()), frozenset({"predict"}), moment, None)
    keys.replace([key])
    settings = Settings.model_validate(
        {
            "database_url": "postgresql://nobody@127.0.0.1/none",
            "request_limit_bytes": limit,
            "rows_limit": rows_limit,
        }
    )
    # What a prediction never touches is absent: touching it would fail the test.
    parts: dict[str, Any] = {one.name: None for one in fields(Services)}
    parts |= {"settings": settings, "keys": keys, "inference": inference, "journal": journal}
    app = FastAPI()
    problems.install(app)
    app.include_router(predictions.router)
    app.state.services = Services(**parts)
    headers = {"Authorization": f"Bearer {KEY}"}
    try:
        async with _listening(app) as (address, server):
            framework = httpx.ASGITransport(app)
            async with (
                httpx.AsyncClient(
                    base_url=address, headers=headers, trust_env=False, timeout=60
                ) as client,
                httpx.AsyncClient(
                    transport=framework, base_url="http://serving", headers=headers
                ) as straight,
            ):
                yield Plane(inference, journal, client, straight, server)
    finally:
        await inference.settle(timedelta(seconds=5))
        journal.close()


@asynccontextmanager
async def _listening(app: FastAPI) -> AsyncIterator[tuple[str, ServerState]]:
    """The protocol of one serving process on a port of its own; gives its address."""
    config = Config(app, log_config=None, access_log=False, lifespan="off")
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: PredictionProtocol(config, state, {}), "127.0.0.1", 0
    )
    try:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}", state
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        while state.connections or state.tasks:  # noqa: ASYNC110  (uvicorn waits for them so)
            await asyncio.sleep(0.01)
