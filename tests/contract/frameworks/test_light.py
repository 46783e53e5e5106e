"""Each framework whose package is small, from a model trained with it to answers over HTTP."""

import warnings
from pathlib import Path
from typing import Any

import pytest

from tests.contract.frameworks.conftest import payments
from tests.contract.frameworks.served import (
    Example,
    check,
    deploy,
    one,
    raise_objective,
    train,
    trained,
)
from tests.support.serving import ServingProcess

EXAMPLES = [
    Example("scikit_learn", "sklearn"),
    Example("skops_file", "sklearn"),
    Example("python_function", "python", scores=None),
    Example(
        "xgboost_model", "xgboost", frozenset({"no", "yes"}), options=("--classes", "no,yes"),
        tells_inputs=True,
    ),
    Example("lightgbm_model", "lightgbm", tells_inputs=True),
    Example("onnx_model", "onnx", tells_inputs=True),
    Example("mlflow_model", "mlflow", scores=None, tells_inputs=True),
    Example("river_model", "river"),
]  # fmt: skip


@pytest.mark.timeout(300)
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.script)
def test_a_model_is_recognised_served_and_served_again_after_its_replica_was_killed(
    example: Example,
    serving: ServingProcess,
    reference: Path,
    rows: list[dict[str, Any]],
    tmp_path: Path,
) -> None:
    made = trained(example, tmp_path, rows)
    deploy(serving, example, made.artefact, None if example.tells_inputs else reference)
    raise_objective(serving, example)
    kept = serving.client.get(f"/v1/models/{example.name}/versions/1").json()
    assert kept["framework"] == example.framework
    check(serving, example, rows, made)


def test_an_input_example_of_mlflow_becomes_the_reference(
    serving: ServingProcess, tmp_path: Path
) -> None:
    artefact = train(Example("mlflow_model", "mlflow"), tmp_path)
    manifest = {"version": "1", "uri": str(artefact)}
    made = serving.client.post("/v1/models/with-example/versions", json=manifest)
    assert made.status_code == 201, made.text
    kept = serving.client.get("/v1/models/with-example/versions/1/reference").json()
    assert len(kept["rows"]) == 50
    assert set(kept["rows"][0]) == {"amount", "age", "hour"}
    assert set(kept["outputs"]) == {0, 1}


def test_a_flavour_of_mlflow_that_is_no_estimator_is_served_by_its_signature(
    serving: ServingProcess, rows: list[dict[str, Any]], tmp_path: Path
) -> None:
    import lightgbm
    import pandas as pd

    with warnings.catch_warnings():
        # MLflow warns of its own.
        warnings.simplefilter("ignore")
        import mlflow.lightgbm
        from mlflow.models import infer_signature

    values, labels = payments.payments(500)
    frame = pd.DataFrame(values, columns=list(payments.FEATURES))
    booster = lightgbm.train(
        {"objective": "binary", "verbosity": -1}, lightgbm.Dataset(frame, labels), 5
    )
    path, signature = tmp_path / "boosted", infer_signature(frame, booster.predict(frame))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.lightgbm.save_model(
            booster, path, signature=signature, pip_requirements=["lightgbm", "pandas"]
        )
    example = Example("boosted", "mlflow", options=("--classes", "0,1"))
    deploy(serving, example, path, None)
    raise_objective(serving, example)
    answers = [one(serving, example, row) for row in rows[:20]]
    scores: Any = booster.predict(pd.DataFrame(rows[:20]))
    assert [answer["scores"][1] for answer in answers] == pytest.approx(list(scores))
    assert [answer["output"] for answer in answers] == [int(score > 0.5) for score in scores]
