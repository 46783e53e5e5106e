"""XGBoost's and LightGBM's own files."""

import io
import json
import mmap
import re
from pathlib import Path
from typing import Any

from serving.replica.inspection.description import (
    DamagedArtefactError,
    Description,
    schema_of,
)
from serving.replica.inspection.ubjson import Reader, UbjsonError

_TREES_END = b"end of trees"
TAIL = 64 * 1024
"""Bytes at the end of a LightGBM file in which the parameters and lists of names stand."""

MOST_JSON = 8 * 1024**2
"""Bytes of an XGBoost file up to which its names are read."""


def describe(artefact: Path, head: bytes) -> Description | None:
    """Say what a booster tells of itself; none if the file is none."""
    if head.startswith(b"tree\n") and b"\nversion=v" in head[:64]:
        return _lightgbm(artefact)
    if head.lstrip().startswith(b"{") and b'"learner"' in head[:64]:
        return _xgboost_json(artefact)
    if head.startswith(b"{L") and b"learner" in head[:64]:
        return _xgboost_binary(artefact)
    return None


def _lightgbm(artefact: Path) -> Description:
    with (
        artefact.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        if data.find(_TREES_END) < 0:
            raise DamagedArtefactError("the LightGBM file is not whole: its trees have no end")
        if data.rfind(b"\nparameters:") > data.rfind(b"end of parameters"):
            raise DamagedArtefactError("the LightGBM file is not whole: its parameters have no end")
        trees = data.find(b"\nTree=")
        header = data[: trees if trees >= 0 else TAIL]
        tail = data[-TAIL:]
    lines = header.decode(errors="replace").splitlines()
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    names = fields.get("feature_names", "").split()
    # Without names LightGBM makes up Column_0, Column_1, …, which say nothing of the inputs.
    named = names and not all(re.fullmatch(r"Column_\d+", name) for name in names)
    schema = schema_of([(name, "number") for name in names]) if named else None
    if schema is not None and b"\npandas_categorical:[[" in tail:
        schema = None
    return Description("lightgbm", "a LightGBM file", runs_code=False, input_schema=schema)


def _xgboost_json(artefact: Path) -> Description:
    if artefact.stat().st_size > MOST_JSON:
        # Reading it would hold up every other thread for seconds.
        return _xgboost_end(artefact)
    try:
        model: dict[str, Any] = json.loads(artefact.read_bytes())
    except ValueError as error:
        raise DamagedArtefactError(f"the XGBoost file is not whole JSON: {error}") from error
    return _xgboost(model)


def _xgboost_binary(artefact: Path) -> Description:
    # Mapped: arrays, which are nearly all of it, are passed over.
    with artefact.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        model = Reader(memoryview(mapped)).value()
    except UbjsonError as error:
        raise DamagedArtefactError(f"the XGBoost file is not whole: {error}") from error
    return _xgboost(model)


def _xgboost(model: dict[str, Any]) -> Description:
    release = ".".join(map(str, model.get("version") or ()))
    learner = model["learner"]
    names, types = learner.get("feature_names") or [], learner.get("feature_types") or []
    numeric = all(one in ("float", "int", "i", "q") for one in types)
    schema = schema_of([(name, "number") for name in names]) if names and numeric else None
    return Description(
        "xgboost", "an XGBoost file", runs_code=False,
        made_with={"xgboost": release} if release else {}, input_schema=schema,
    )  # fmt: skip


def _xgboost_end(artefact: Path) -> Description:
    with artefact.open("rb") as file:
        file.seek(-min(TAIL, artefact.stat().st_size), io.SEEK_END)
        end = file.read()
    if not end.rstrip().endswith(b"}"):
        raise DamagedArtefactError("the XGBoost file is not whole: its last brace is missing")
    return Description("xgboost", "an XGBoost file", runs_code=False)
