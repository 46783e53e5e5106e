from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from serving import ids

MOMENTS = st.integers(0, 2**48 * 1000 - 1)


@given(MOMENTS)
def test_an_id_is_a_uuid_of_version_7_that_carries_the_millisecond_of_arrival(now_us: int) -> None:
    made = ids.new_prediction_id(now_us)
    read = UUID(bytes=made)
    assert (read.version, read.variant) == (7, "specified in RFC 4122")
    assert ids.is_prediction_id(read)
    assert ids.time_of(made) <= now_us < ids.time_of(made) + 1000


@given(MOMENTS)
def test_the_text_of_an_id_is_that_of_the_uuid(now_us: int) -> None:
    made = ids.new_prediction_id(now_us)
    assert ids.text_of(made) == str(UUID(bytes=made))


def test_ids_of_one_moment_differ() -> None:
    assert len({ids.new_prediction_id(1_000_000) for _ in range(10_000)}) == 10_000
