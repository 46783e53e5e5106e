"""Load one artefact and answer batches until the front goes away.

A blocking loop over one socket: while the model computes nothing else can be done here, so there
is nothing to gain from an event loop, and a call costs 17 microseconds instead of 40.
"""

import argparse
import ctypes
import gc
import json
import math
import os
import platform
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from serving.replica.frameworks import Answers, Artefact, ArtefactError, Block, Model, load
from serving.replica.fronts import Fronts
from serving.replica.inspection import (
    DamagedArtefactError,
    ForeignArtefactError,
    expect,
    mismatch,
    unmet,
)
from serving.replica.probe import place as place_of
from serving.replica.protocol import Encoding, Frame, Frames, Kind, ProtocolError, send

_PR_SET_PDEATHSIG = 1
"""From <sys/prctl.h>: a signal for this process when its parent ends."""

MESSAGE_LIMIT = 500
"""Characters of an exception's text that travel with a row."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the replica; the exit status is 0 when the front went away."""
    options = _options(arguments)
    if options.parent:
        die_with(options.parent)
    listener = _listener(options)
    try:
        model = _load(options)
    except (ArtefactError, DamagedArtefactError, ForeignArtefactError) as error:
        # The sentence is all that there is to say; where in our code it was found is not.
        print(error, file=sys.stderr)
        return 1
    except BaseException:
        # The front shows the end of this text as the replica's last words.
        traceback.print_exc()
        return 1
    # The model and its packages stay: passes over them would only hold up batches.
    gc.freeze()
    if options.socket_fd is None:
        with listener:
            Fronts(
                listener, _hello(model), lambda frame: _answer(model, frame), linger=options.linger
            ).run()
        return 0
    connection, _ = listener.accept()
    listener.close()
    with connection:
        send(connection, _hello(model))
        frames = Frames(connection)
        while (frame := frames.next()) is not None:
            if frame.kind != Kind.HELLO:
                send(connection, _answer(model, frame))
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="serving.replica", description=main.__doc__)
    parser.add_argument("--artefact", type=Path, required=True)
    parser.add_argument("--framework", required=True)
    parser.add_argument("--entry", help="module:callable, or a file inside the artefact's folder")
    parser.add_argument("--features", default="[]", help="names of the features as a JSON array")
    parser.add_argument("--classes", help="classes in the order of the scores as a JSON array")
    parser.add_argument("--requires", default="[]", help="what must be installed, a JSON array")
    parser.add_argument("--python", help="the Python that this must be, as 3.12")
    place = parser.add_mutually_exclusive_group(required=True)
    place.add_argument("--listen", help="path of a Unix socket or tcp://HOST:PORT to listen on")
    place.add_argument("--socket-fd", type=int, help="a listening socket that was handed down")
    parser.add_argument("--parent", type=int, default=0, help="process to die with")
    parser.add_argument("--linger", type=float, help="end after so many seconds without a front")
    return parser.parse_args(arguments)


def _load(options: argparse.Namespace) -> Model:
    """Look at all that has to fit, then load: what does not is said before any of it runs."""
    if (reason := unmet(json.loads(options.requires), options.python)) is not None:
        raise ArtefactError(reason)
    described = expect(options.artefact, options.framework)
    if described is not None and (reason := mismatch(described.made_with)) is not None:
        raise ArtefactError(reason)
    classes = None if options.classes is None else tuple(json.loads(options.classes))
    features = tuple(json.loads(options.features))
    return load(options.framework, Artefact(options.artefact, options.entry, features, classes))


def die_with(parent: int) -> None:
    """Ask the kernel to end this process with its parent: no model outlives a killed front."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    # The parent may have gone before the request; the kernel says nothing about the past.
    if os.getppid() != parent:
        raise SystemExit("the process that started this replica has gone")


def _listener(options: argparse.Namespace) -> socket.socket:
    if options.socket_fd is not None:
        return socket.socket(fileno=options.socket_fd)
    if (where := place_of(options.listen)) is not None:
        return socket.create_server(where)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(options.listen)
    listener.listen()
    return listener


def _hello(model: Model) -> Frame:
    facts = {
        "classes": model.classes,
        "features": model.features,
        "python": platform.python_version(),
        "libraries": {
            name: release for name in model.libraries if (release := _release(name)) is not None
        },
    }
    return Frame(Kind.HELLO, json.dumps(facts, default=_plain).encode())


def _release(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _answer(model: Model, frame: Frame) -> Frame:
    if frame.kind != Kind.PREDICT:
        raise ProtocolError(f"expected rows to predict, got a frame of kind {frame.kind}")
    started = time.perf_counter_ns()
    try:
        rows = _rows(model, frame)
    except ValueError as error:
        return Frame(Kind.FAILURE, str(error).encode(), sequence=frame.sequence)
    try:
        encoded = _encode(model, _predict(model, rows), {})
    except Exception:
        # One bad row must not cost the others their answers: each is asked alone.
        encoded = _one_by_one(model, rows)
    encoding, outputs, columns, rest = encoded
    return Frame(
        Kind.ANSWER, outputs + rest, encoding, frame.rows, columns, len(outputs),
        frame.sequence, time.perf_counter_ns() - started,
    )  # fmt: skip


def _rows(model: Model, frame: Frame) -> Block | list[Any]:
    if frame.encoding == Encoding.JSON:
        rows: list[Any] = json.loads(bytes(frame.payload))
        return rows
    if model.features is not None and frame.columns != model.features:
        raise ValueError(f"the model takes rows of {model.features} features, got {frame.columns}")
    block: Block = np.frombuffer(frame.payload, dtype="<f8").reshape(frame.rows, frame.columns)
    if not model.wants_values:
        return block
    return [[None if math.isnan(x) else x for x in row] for row in block.tolist()]


def _predict(model: Model, rows: Block | list[Any]) -> Answers:
    answers = model.predict(rows)
    if len(answers.outputs) != len(rows):
        raise ValueError(f"the model gave {len(answers.outputs)} outputs for {len(rows)} rows")
    scores = answers.scores
    if scores is not None and (scores.ndim != 2 or len(scores) != len(rows)):
        raise ValueError(f"the model gave scores of shape {scores.shape} for {len(rows)} rows")
    return answers


_Encoded = tuple[Encoding, bytes, int, bytes]
"""Encoding and bytes of the outputs, columns of scores, and the bytes after the outputs."""


def _encode(model: Model, answers: Answers, errors: dict[int, str]) -> _Encoded:
    outputs, scores = answers.outputs, answers.scores
    if scores is not None and not np.isfinite(scores).all():
        raise ValueError("the model gave a score that is NaN or infinite")
    columns = 0 if scores is None else scores.shape[1]
    rest = b"" if scores is None else scores.tobytes()
    if errors:
        rest += json.dumps([[row, text] for row, text in errors.items()]).encode()
    if model.classes is not None:
        places = np.asarray(outputs, dtype="<u4")
        return Encoding.CLASSES, places.tobytes(), columns, rest
    if isinstance(outputs, np.ndarray) and outputs.ndim == 1 and outputs.dtype.kind == "f":
        if not np.isfinite(outputs).all():
            raise ValueError("the model gave an output that is NaN or infinite")
        return Encoding.FLOATS, outputs.astype("<f8").tobytes(), columns, rest
    values = outputs.tolist() if isinstance(outputs, np.ndarray) else outputs
    text = json.dumps(values, default=_plain, allow_nan=False, separators=(",", ":"))
    return Encoding.JSON, text.encode(), columns, rest


def _one_by_one(model: Model, rows: Block | list[Any]) -> _Encoded:
    """Ask for each row alone; those that fail get a filler and an error."""
    outputs: list[Any] = []
    scores: list[Block | None] = []
    errors: dict[int, str] = {}
    for number in range(len(rows)):
        try:
            single = _predict(model, rows[number : number + 1])
            _encode(model, single, {})
            outputs += list(single.outputs)
            scores.append(single.scores)
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            errors[number] = text[:MESSAGE_LIMIT]
            traceback.print_exc()
            outputs.append(0 if model.classes is not None else None)
            scores.append(None)
    return _encode(model, Answers(outputs, _stack(scores)), errors)


def _stack(scores: list[Block | None]) -> Block | None:
    given = next((one for one in scores if one is not None), None)
    if given is None:
        return None
    return np.vstack([np.zeros_like(given) if one is None else one for one in scores])


def _plain(value: object) -> object:
    """A numpy value as one that JSON has."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"the model gave a {type(value).__qualname__}, which JSON does not have")
