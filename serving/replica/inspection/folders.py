"""Folders: MLflow, SavedModel, Spark, or a package of Python."""

import json
from pathlib import Path
from typing import Any

from serving.replica.inspection.description import (
    DamagedArtefactError,
    Description,
    ForeignArtefactError,
    schema_of,
)
from serving.replica.inspection.wire import WireError, inside

EXAMPLES = 200
"""Rows of an input example that are kept."""

_MLFLOW_KINDS = {
    "double": "number", "float": "number", "long": "integer", "integer": "integer",
    "boolean": "boolean", "string": "string",
}  # fmt: skip


def describe(folder: Path) -> Description | None:
    """Say what a folder is; none if it is a folder of anything."""
    if (folder / "MLmodel").is_file():
        return _mlflow(folder)
    if (folder / "saved_model.pb").is_file():
        return _saved_model(folder)
    if (folder / "metadata").is_dir() and list((folder / "metadata").glob("part-*")):
        return _spark(folder)
    if any(folder.glob("*.py")) or any(folder.glob("*/__init__.py")):
        return Description("python", "a folder of Python")
    return None


def _mlflow(folder: Path) -> Description:
    try:
        import yaml
    except ImportError:
        return Description("mlflow", "an MLflow model")
    try:
        model: dict[str, Any] = yaml.safe_load((folder / "MLmodel").read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DamagedArtefactError(f"MLmodel is no YAML: {error}") from error
    flavors = (model or {}).get("flavors") or {}
    python = flavors.get("python_function")
    if python is None:
        raise ForeignArtefactError(
            "expected an MLflow model with the flavour python_function, found "
            f"{', '.join(flavors) or 'none'}"
        )
    part = python.get("model_path")
    if part and not (folder / part).exists():
        raise DamagedArtefactError(f"the MLflow model is not whole: it lacks {part}")
    release = (flavors.get("sklearn") or {}).get("sklearn_version")
    return Description(
        "mlflow",
        "an MLflow model",
        made_with={"scikit-learn": str(release)} if release else {},
        input_schema=_signature(model),
        example=_example(folder, model),
    )


def _signature(model: dict[str, Any]) -> dict[str, Any] | None:
    text = (model.get("signature") or {}).get("inputs")
    columns = json.loads(text) if text else []
    if not columns or not all(one.get("name") and one.get("type") for one in columns):
        return None
    kinds = [(one["name"], _MLFLOW_KINDS.get(one["type"], "")) for one in columns]
    if not all(kind for _, kind in kinds):
        return None
    schema = schema_of(kinds)
    optional = [one["name"] for one in columns if not one.get("required", True)]
    for name in optional:
        schema["properties"][name]["type"] = [schema["properties"][name]["type"], "null"]
    schema["required"] = [name for name in schema["required"] if name not in optional]
    return schema


def _example(folder: Path, model: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    told = model.get("saved_input_example_info") or {}
    path = folder / str(told.get("artifact_path"))
    if told.get("type") != "dataframe" or told.get("pandas_orient") != "split":
        return ()
    if not path.is_file():
        return ()
    table = json.loads(path.read_text())
    columns = table.get("columns") or []
    if not all(isinstance(name, str) for name in columns):
        return ()
    return tuple(dict(zip(columns, row, strict=True)) for row in table["data"][:EXAMPLES])


def _saved_model(folder: Path) -> Description:
    data = memoryview((folder / "saved_model.pb").read_bytes())
    try:
        # SavedModel.meta_graphs.meta_info_def.tensorflow_version
        releases = [bytes(text).decode() for text in inside(data, 2, 1, 5)]
    except WireError as error:
        raise DamagedArtefactError(f"saved_model.pb is not whole: {error}") from error
    variables = folder / "variables"
    if variables.is_dir() and not list(variables.glob("variables.index")):
        raise DamagedArtefactError("the SavedModel is not whole: it lacks variables.index")
    made_with = {"tensorflow": releases[0]} if releases else {}
    return Description("tensorflow", "a SavedModel", made_with=made_with)


def _spark(folder: Path) -> Description:
    parts = sorted((folder / "metadata").glob("part-*"))
    try:
        told = json.loads(parts[0].read_text().splitlines()[0])
    except (ValueError, IndexError) as error:
        raise DamagedArtefactError(f"the model of Spark is not whole: {error}") from error
    kind = str(told.get("class", ""))
    if not kind.startswith(("org.apache.spark.ml", "pyspark.ml")) or not kind.endswith("Model"):
        raise ForeignArtefactError(f"expected a fitted model of Spark MLlib, found a {kind}")
    stages = told.get("paramMap", {}).get("stageUids", [])
    kept = len(list((folder / "stages").glob("*"))) if stages else 0
    if kept < len(stages):
        raise DamagedArtefactError(
            f"the model of Spark is not whole: it has {kept} of {len(stages)} stages"
        )
    release = told.get("sparkVersion")
    made_with = {"pyspark": str(release)} if release else {}
    return Description("spark", "a model of Spark MLlib", made_with=made_with)
