"""A pattern of an input schema holds no event loop: whatever it is, and whatever is sent."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import InvalidInputError
from serving.inputs import compile_schema
from serving.patterns import LONGEST, Pattern


@pytest.mark.parametrize("text", ["(a+)+$", "^(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_pattern_that_would_backtrack_is_asked_in_linear_time(text: str) -> None:
    # Python's engine doubles its time with each character: 2 s at 25, hours at 40. Processor time,
    # so that another process's turn is not counted.
    pattern = Pattern(text)
    before = time.process_time()
    assert not pattern.fits("a" * (LONGEST - 1) + "!")
    assert time.process_time() - before < 2.0


@given(
    st.sampled_from(["^[a-z]+$", r"^\d{2,4}-\w*", "a|bc", "[^é]é", r"(x|y)+z?\b"]),
    st.text("abcxyz1-é"),
)
def test_a_pattern_of_linear_time_says_what_pythons_engine_says(text: str, value: str) -> None:
    assert Pattern(text).fits(value) == (re.search(text, value) is not None)


def test_the_end_is_the_end_not_the_newline_before_it() -> None:
    assert not Pattern("^a$").fits("a\n")


def test_a_string_too_long_for_a_pattern_is_named_with_the_longest() -> None:
    codec = compile_schema({"properties": {"code": {"type": "string", "pattern": "^a+$"}}})
    assert codec.check(["a" * LONGEST])
    with pytest.raises(InvalidInputError) as caught:
        codec.check(["a" * (LONGEST + 1)])
    (error,) = caught.value.errors
    assert (error.path, error.expected) == (
        "/input/0", "a string, matching ^a+$ in at most 2048 characters",
    )  # fmt: skip
