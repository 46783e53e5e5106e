"""What SIGTERM does to the first process of a container."""

import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.contract.launchers import models
from tests.support.data_plane import python_version

APART = ["unshare", "--pid", "--fork", "--kill-child"]


def _can_be_apart() -> bool:
    try:
        return subprocess.run([*APART, "true"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _can_be_apart(), reason="needs the right to make a namespace of processes")
def test_a_first_process_ends_at_sigterm_while_native_code_loads_the_model(tmp_path: Path) -> None:
    artefact = python_version(tmp_path, models.NEVER_LOADED).artefact
    command = [
        *APART, sys.executable, "-m", "serving.replica", "--artefact", str(artefact),
        "--framework", "python", "--entry", "model:answer", "--listen", str(tmp_path / "s"),
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as outer:
        try:
            assert outer.stderr is not None
            assert outer.stderr.readline() == "reading\n"
            (replica,) = psutil.Process(outer.pid).children()
            replica.send_signal(signal.SIGTERM)
            assert outer.wait(10) == signal.SIGTERM
        finally:
            outer.kill()
