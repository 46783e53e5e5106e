"""What each program loads before it is asked for anything: its time to start, and its memory."""

import json
import subprocess
import sys

import pytest

HEAVY = {
    "alembic", "docker", "kubernetes", "pandas", "pyarrow", "river", "scipy.stats", "sklearn",
}  # fmt: skip
"""Each takes tenths of a second or tens of megabytes, and most processes never use it."""

SPARED = {
    "leadsman.cli": HEAVY | {"fastapi", "httpx", "numpy", "scipy", "sqlalchemy"},
    "serving.replica.main": HEAVY | {"asyncio", "fastapi", "pydantic", "scipy", "sqlalchemy"},
    "serving.server": HEAVY | {"httpx", "scipy"},
    "monitor.app": HEAVY,
}

LOAD = """
import importlib, json, sys
importlib.import_module(sys.argv[1])
print(json.dumps(sorted(set(json.loads(sys.argv[2])) & set(sys.modules))))
"""


@pytest.mark.parametrize("program", SPARED)
def test_a_program_loads_nothing_that_it_may_never_use(program: str) -> None:
    words = [sys.executable, "-c", LOAD, program, json.dumps(sorted(SPARED[program]))]
    said = subprocess.run(words, check=True, capture_output=True, text=True)
    assert json.loads(said.stdout) == []
