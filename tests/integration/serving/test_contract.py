from pathlib import Path

import pytest

from tests.support.contract import fuzz
from tests.support.serving import (
    ADMIN_KEY,
    FEATURES,
    ServingProcess,
    artefact,
    reference,
    register,
    single,
)


@pytest.mark.timeout(240)
def test_no_request_finds_a_fault_or_an_answer_that_the_document_does_not_allow(
    database: str, tmp_path: Path
) -> None:
    serving = ServingProcess(database, tmp_path)
    serving.start()
    client = serving.client
    try:
        for version in ("1", "2"):
            register(client, version, artefact()).raise_for_status()
            path = f"/v1/models/m/versions/{version}/reference"
            client.put(path, json=reference()).raise_for_status()
        properties = {name: {"type": "number"} for name in FEATURES}
        schema = {"type": "object", "properties": properties}
        body = {"name": "app", "task": "binary", "input_schema": schema}
        client.post("/v1/applications", json=body).raise_for_status()
        client.put("/v1/applications/app/route", json=single("m:1")).raise_for_status()
        url = str(client.base_url).rstrip("/")
        wrong = fuzz(url, ADMIN_KEY, tmp_path, "DELETE /v1/keys/{key_id}")
        assert not wrong, wrong
        assert "request_failed" not in serving.log()
    finally:
        client.close()
        serving.stop()
