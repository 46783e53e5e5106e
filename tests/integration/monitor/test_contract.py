from pathlib import Path

import pytest

from tests.support.contract import fuzz
from tests.support.service import running_up


@pytest.mark.timeout(240)
def test_no_request_finds_a_fault_or_an_answer_that_the_document_does_not_allow(
    tmp_path: Path,
) -> None:
    with running_up(tmp_path / "data") as up:
        connection = up.connection
        assert connection.key is not None
        wrong = fuzz(connection.monitor_url, connection.key, tmp_path)
        assert not wrong, wrong
