"""The order in which rows that wait are taken, whatever leaves before its turn."""

from hypothesis import given
from hypothesis import strategies as st

from serving.batch import Answer, Entry
from serving.waiting_rows import WaitingRows


class _Nobody:
    def done(self) -> bool:
        return False

    def set_result(self, result: Answer, /) -> None:
        raise AssertionError(result)


def _entry(deadline: int, background: bool) -> Entry:
    return Entry(b"", 0.0, float(deadline), _Nobody(), background)


WHAT_COMES_OF_IT = st.sampled_from(["wait", "leave", "urge"])


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans(), WHAT_COMES_OF_IT)))
def test_rows_are_taken_by_deadline_and_those_without_a_caller_last(
    pushed: list[tuple[int, bool, str]],
) -> None:
    rows, left = WaitingRows(), []
    for deadline, background, what in pushed:
        entry = _entry(deadline, background)
        rows.push(entry)
        if what == "leave":
            rows.leave(entry)
            continue
        if what == "urge":
            entry.background, entry.deadline = False, deadline - 5.0
            rows.place(entry)
        left.append(entry)
    rows.sweep()
    assert rows.live == len(left)
    taken = []
    while (first := rows.first) is not None:
        rows.leave(first)
        taken.append(first)
    assert rows.live == 0
    assert sorted(map(id, taken)) == sorted(map(id, left))
    order = [(entry.background, entry.deadline) for entry in taken]
    assert order == sorted(order)


@given(st.lists(st.booleans(), max_size=20))
def test_emptied_it_gives_each_row_once(urged: list[bool]) -> None:
    rows = WaitingRows()
    entries = [_entry(place, background=False) for place in range(len(urged))]
    for entry, more_urgent in zip(entries, urged, strict=True):
        rows.push(entry)
        if more_urgent:
            entry.deadline -= 30
            rows.place(entry)
    assert sorted(map(id, rows.empty())) == sorted(map(id, entries))
    assert (rows.live, rows.first) == (0, None)
    assert not any(entry.waiting for entry in entries)
