"""Whether an environment that others made carries what a version requires."""

import platform

import numpy
import pytest

from serving.replica.inspection import unmet


@pytest.mark.parametrize(
    "requirement",
    ["numpy", "NumPy", f"numpy=={numpy.__version__}", f"numpy == {numpy.__version__}",
     "numpy>=1,<99", "numpy==1.*", "nothing; python_version < '3'", "scikit_learn", "numpy[x]"],
)  # fmt: skip
def test_what_is_there_is_no_complaint(requirement: str) -> None:
    assert unmet([requirement]) is None


def test_the_first_that_is_missing_or_of_another_release_is_said_with_both() -> None:
    found = unmet(["numpy", "numpy==0.0.1", "leadsman-nothing"])
    assert found == (
        f"the version requires numpy==0.0.1 and this environment has numpy {numpy.__version__}"
    )
    assert unmet(["leadsman-nothing>=2"]) == (
        "the version requires leadsman-nothing>=2 and this environment does not have "
        "leadsman-nothing"
    )


def test_another_python_is_said_with_both() -> None:
    here = platform.python_version()
    assert unmet([], here) is None
    assert unmet([], here.rpartition(".")[0]) is None
    assert unmet([], "3.1") == f"the version states Python 3.1 and this environment has {here}"
