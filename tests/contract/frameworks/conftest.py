"""The service that the models are deployed on."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.frameworks.served import BATCH, EXAMPLES
from tests.support.serving import ServingProcess

sys.path.insert(0, str(EXAMPLES))
payments: Any = importlib.import_module("payments")


@pytest.fixture(scope="module")
def serving(
    module_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServingProcess]:
    """One serving process for all frameworks."""
    process = ServingProcess(
        module_database, tmp_path_factory.mktemp("serving"), SERVING_DEPLOY_TIMEOUT="300",
        # What answered the reference rows is still there when the route wants it.
        SERVING_RETIRE_AFTER="10",
    )  # fmt: skip
    process.client.timeout = 120
    process.start()
    yield process
    process.stop()
    process.client.close()


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reference rows as a CSV file."""
    path = tmp_path_factory.mktemp("reference") / "payments.csv"
    payments.write_csv(path)
    return path


@pytest.fixture(scope="session")
def rows() -> list[dict[str, Any]]:
    """Rows to ask about."""
    found, _ = payments.payments(BATCH, seed=3)
    return [dict(zip(payments.FEATURES, row, strict=True)) for row in found.tolist()]
