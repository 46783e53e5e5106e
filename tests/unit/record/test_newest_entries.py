from hypothesis import given
from hypothesis import strategies as st

from serving import newest_entries
from serving.journal_file import ENTRY_OVERHEAD, Entry
from serving.newest_entries import NewestEntries


def entry(number: int, size: int) -> Entry:
    """An entry of one prediction of so many bytes."""
    return Entry(number, b"x" * size, 1, 1, 1, b"", 0, None, None)


def _size(entries: list[Entry]) -> int:
    return sum(one.size for one in entries)


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(0, newest_entries.KEPT_BYTES // 3))),
    st.integers(0, 60), st.integers(1, 10), st.integers(1, 2**23), st.integers(0, 60),
)  # fmt: skip
def test_what_is_given_is_what_the_file_holds_or_nothing(
    written: list[tuple[int, int]], after: int, max_rows: int, max_bytes: int, shipped: int
) -> None:
    newest, file, number = NewestEntries(5), [entry(5, 10)], 5
    for step, size in written:
        number += step
        file.append(entry(number, size))
        newest.add(file[-1])
    gone = [one for one in file if one.number <= shipped]
    dropped = newest.drop(shipped, after=0)
    assert dropped is None or dropped == (sum(one.rows for one in gone), _size(gone))
    given_ = newest.after(max(after, shipped), max_rows=max_rows, max_bytes=max_bytes)
    expected: list[Entry] = []
    rows = size = 0
    for one in file:
        if one.number > max(after, shipped):
            rows, size = rows + one.rows, size + one.size
            if expected and (rows > max_rows or size > max_bytes):
                break
            expected.append(one)
    assert given_ is None or given_ == expected
    # What is small enough is there: shipping reads the file only where it must.
    if sum(size + ENTRY_OVERHEAD for _, size in written) <= newest_entries.KEPT_BYTES:
        assert given_ is not None or max(after, shipped) < max(5, shipped)
        # What was shipped from there is counted there, and what follows tells its age.
        more = newest.drop(number, after=max(5, shipped))
        left = [one for one in file if one.number > max(5, shipped)]
        assert more == (sum(one.rows for one in left), _size(left))
