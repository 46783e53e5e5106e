"""What the service is measured against: a bare echo, and the handlers that people write by hand.

Run ``python benchmarks/handwritten.py echo|fastapi|insert PORT [MODEL [DATABASE_URL]]``.
"""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

import asyncpg
import joblib
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel, Field

FEATURES = 20

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


async def echo(scope: Message, receive: Receive, send: Send) -> None:
    """Answer with the body that came: the floor of any Python service on this server."""
    if scope["type"] != "http":
        return
    body = b""
    while True:
        message = await receive()
        body += message["body"]
        if not message.get("more_body"):
            break
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Question(BaseModel):
    """A request: one row."""

    input: Annotated[list[float], Field(min_length=FEATURES, max_length=FEATURES)]


class Answer(BaseModel):
    """A response."""

    output: int
    scores: list[float]


def inline(model_file: str) -> FastAPI:
    """Make the handler that people write by hand: the model inline, nothing recorded."""
    model = joblib.load(model_file)
    app = FastAPI()

    @app.post("/predict")
    async def predict(question: Question) -> Answer:
        scores = model.predict_proba(np.array([question.input]))[0]
        return Answer(output=int(model.classes_[scores.argmax()]), scores=scores.tolist())

    return app


def recording(model_file: str, url: str) -> FastAPI:
    """Make the same with one INSERT a request, which the answer waits for."""
    model = joblib.load(model_file)
    pools: list[asyncpg.Pool] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(url, min_size=10, max_size=10) as pool:
            await pool.execute(
                "CREATE TABLE by_hand (id bigserial PRIMARY KEY, at timestamptz DEFAULT now(),"
                " input jsonb, output int, scores jsonb)"
            )
            pools.append(pool)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/predict")
    async def predict(question: Question) -> Answer:
        scores = model.predict_proba(np.array([question.input]))[0]
        answer = Answer(output=int(model.classes_[scores.argmax()]), scores=scores.tolist())
        await pools[0].execute(
            "INSERT INTO by_hand (input, output, scores) VALUES ($1, $2, $3)",
            json.dumps(question.input), answer.output, json.dumps(answer.scores),
        )  # fmt: skip
        return answer

    return app


def main() -> None:
    """Serve one of them, set up as Leadsman's own server is."""
    kind, port, *more = sys.argv[1:]
    app: Any = {"echo": lambda: echo, "fastapi": inline, "insert": recording}[kind](*more)  # type: ignore[operator]  # each takes what it needs
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(port),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="off" if kind == "echo" else "on",
    )


if __name__ == "__main__":
    main()
