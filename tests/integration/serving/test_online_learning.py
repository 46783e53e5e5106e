"""An online model over HTTP: labels become versions that know better, and a rollback ends that."""

import json
import pickle
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest
from river import linear_model

from tests.support.serving import ServingProcess, single

pytestmark = pytest.mark.timeout(180)

APPLICATION = {
    "name": "payments",
    "task": "binary",
    "default_output": 0,
    "latency_objective_ms": 30_000,
    "input_schema": {
        "type": "object",
        "properties": {"a": {"type": "number"}, "b": {"type": "number"}},
        "required": ["a", "b"],
    },
}
URL = "/v1/applications/payments"


@pytest.fixture
def client(database: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """A process that serves a model which knows nothing yet and learns every second."""
    process = ServingProcess(
        database, tmp_path, SERVING_POLL_INTERVAL="0.3", SERVING_DEPLOY_TIMEOUT="120"
    )
    process.start()
    client = process.client
    assert client.post("/v1/applications", json=APPLICATION).status_code == 201
    manifest = {"version": "1", "framework": "river", "learn_every": 1, "classes": [0, 1]}
    files = {"artefact": ("model.pkl", pickle.dumps(linear_model.LogisticRegression()))}
    made = client.post(
        "/v1/models/online/versions", data={"manifest": json.dumps(manifest)}, files=files
    )
    assert made.status_code == 201, made.text
    assert client.put(f"{URL}/route", json=single("online:1")).status_code == 200
    yield client
    process.stop()
    client.close()


def answer_and_label(client: httpx.Client, count: int, *, flipped: bool = False) -> None:
    """Ask for rows of which a is positive or negative, and report which it is."""
    inputs = [[1.0 if n % 2 else -1.0, 0.5] for n in range(count)]
    found = client.post(f"{URL}/predictions", json={"inputs": inputs}).json()["predictions"]
    labels = [
        {"prediction_id": one["id"], "label": int((row[0] > 0) != flipped)}
        for one, row in zip(found, inputs, strict=True)
    ]
    assert client.post("/v1/feedback", json={"feedback": labels}).json()["accepted"] == count


def until(what: Callable[[], Any], within: float = 90) -> Any:
    """Wait for something that is true."""
    end = time.monotonic() + within
    while not (found := what()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.1)
    return found


def learned(client: httpx.Client) -> list[dict[str, Any]]:
    """What each version that was learned says of it, the oldest first."""
    versions = client.get("/v1/models/online/versions").json()["versions"]
    found = [one["manifest"].get("learned") for one in versions]
    return [one for one in found if one is not None]


def test_labels_become_versions_each_label_once_and_a_rollback_ends_it(
    client: httpx.Client,
) -> None:
    answer_and_label(client, 60)
    until(lambda: sum(one["rows"] for one in learned(client)) == 60)
    first = until(
        lambda: (
            (route := client.get(f"{URL}/route").json())["policy"]["champion"] != "online:1"
            and route
        )
    )
    assert "learned" in first["reason"]
    assert first["evidence"]["learned"]["root"] == "1"
    row = {"input": [1.0, 0.5]}
    until(lambda: client.post(f"{URL}/predictions", json=row).json()["output"] == 1)
    probability = client.post(f"{URL}/predictions", json=row).json()["scores"][1]
    assert client.post(f"{URL}/predictions", json={"input": [-1.0, 0.5]}).json()["output"] == 0

    # More labels: the next version goes on from where this one stopped.
    answer_and_label(client, 40)
    until(lambda: sum(one["rows"] for one in learned(client)) == 100)
    chain = learned(client)
    assert [one["root"] for one in chain] == ["1"] * len(chain)
    assert all(a["until"] < b["until"] for a, b in pairwise(chain))
    until(lambda: client.post(f"{URL}/predictions", json=row).json()["scores"][1] > probability)

    # At most one for each interval that the first one states.
    versions = client.get("/v1/models/online/versions").json()["versions"]
    made = [datetime.fromisoformat(one["created_at"]) for one in versions]
    assert all(later - earlier >= timedelta(seconds=1) for earlier, later in pairwise(made))

    # After a rollback nothing is learned until somebody changes the route.
    back = client.post(f"{URL}/rollback", json={})
    assert back.status_code == 200, back.text
    known = len(learned(client))
    answer_and_label(client, 20, flipped=True)
    time.sleep(3)
    assert len(learned(client)) == known
    assert client.get(f"{URL}/route").json()["revision"] == back.json()["revision"]


def test_only_river_learns(client: httpx.Client) -> None:
    manifest = {"version": "2", "framework": "python", "learn_every": 5, "entry": "m:answer"}
    refused = client.post(
        "/v1/models/online/versions", data={"manifest": json.dumps(manifest)},
        files={"artefact": ("m.py", b"def answer(rows):\n    return rows[:, 0]\n")},
    )  # fmt: skip
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_manifest")
    assert refused.json()["errors"][0]["path"] == "/learn_every"
