"""Serving is killed while a model learns: each label is learned once all the same."""

import json
import pickle
import random
import time
from pathlib import Path

import httpx
import pytest
from river import linear_model

from tests.support.serving import ServingProcess, single

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

URL = "/v1/applications/payments"
APPLICATION = {
    "name": "payments",
    "task": "binary",
    "default_output": 0,
    "latency_objective_ms": 30_000,
    "input_schema": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]},
}
KILLS = 2
LABELS = 20
"""Between two kills."""


def begin(client: httpx.Client) -> None:
    assert client.post("/v1/applications", json=APPLICATION).status_code == 201
    manifest = {"version": "1", "framework": "river", "learn_every": 1, "classes": [0, 1]}
    files = {"artefact": ("model.pkl", pickle.dumps(linear_model.LogisticRegression()))}
    made = client.post(
        "/v1/models/online/versions", data={"manifest": json.dumps(manifest)}, files=files
    )
    assert made.status_code == 201, made.text
    assert client.put(f"{URL}/route", json=single("online:1")).status_code == 200


def label_some(client: httpx.Client) -> None:
    inputs = [[float(n % 2)] for n in range(LABELS)]
    found = client.post(f"{URL}/predictions", json={"inputs": inputs}).json()["predictions"]
    labels = [{"prediction_id": one["id"], "label": n % 2} for n, one in enumerate(found)]
    assert client.post("/v1/feedback", json={"feedback": labels}).json()["accepted"] == LABELS


def test_each_label_is_learned_once_whenever_serving_is_killed(
    database: str, tmp_path: Path
) -> None:
    rng = random.Random(20261125)
    process = ServingProcess(
        database, tmp_path, SERVING_POLL_INTERVAL="0.2", SERVING_DEPLOY_TIMEOUT="120"
    )
    process.start()
    client = process.client
    begin(client)
    for _ in range(KILLS):
        label_some(client)
        time.sleep(rng.uniform(0.5, 3.0))
        process.kill()
        process.start()
    label_some(client)
    total, end = LABELS * (KILLS + 1), time.monotonic() + 180
    while True:
        versions = client.get("/v1/models/online/versions").json()["versions"]
        learned = [one["manifest"]["learned"] for one in versions if one["version"] != "1"]
        champion = client.get(f"{URL}/route").json()["policy"]["champion"]
        newest = f"online:{versions[-1]['version']}"
        if sum(one["rows"] for one in learned) >= total and champion == newest:
            break
        assert time.monotonic() < end, (learned, champion)
        time.sleep(0.2)
    time.sleep(3)
    versions = client.get("/v1/models/online/versions").json()["versions"]
    chain = [one["manifest"]["learned"] for one in versions if one["version"] != "1"]
    assert sum(one["rows"] for one in chain) == total
    # One line: no state has two successors, and each begins where the one before stopped.
    names = ["online:1", *(f"online:{one['version']}" for one in versions[1:])]
    assert [one["from"] for one in chain] == names[:-1]
    process.stop()
    client.close()
