"""What the service is measured against: a bare echo, and the handler that people write by hand.

Run ``python benchmarks/handwritten.py echo|fastapi PORT [MODEL]``.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import joblib
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel

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


class Row(BaseModel):
    """One input."""

    period: float
    nsw_price: float
    nsw_demand: float
    vic_price: float
    vic_demand: float
    transfer: float


class Question(BaseModel):
    """A request."""

    input: Row


class Answer(BaseModel):
    """A response."""

    output: int
    scores: list[float]


def handwritten(model_file: str) -> FastAPI:
    """Make the handler that people write by hand: the model inline, nothing recorded."""
    model = joblib.load(model_file)
    app = FastAPI()

    @app.post("/predict")
    async def predict(question: Question) -> Answer:
        row = question.input
        values = [
            row.period,
            row.nsw_price,
            row.nsw_demand,
            row.vic_price,
            row.vic_demand,
            row.transfer,
        ]
        scores = model.predict_proba(np.array([values]))[0]
        return Answer(output=int(model.classes_[scores.argmax()]), scores=scores.tolist())

    return app


def main() -> None:
    """Serve one of the two, set up as Leadsman's own server is."""
    app: Any = echo if sys.argv[1] == "echo" else handwritten(sys.argv[3])
    uvicorn.run(
        app,
        host="127.0.0.1",
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
        lifespan="off",
    )


if __name__ == "__main__":
    main()
