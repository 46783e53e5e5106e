"""The rows that wait for one version, the most urgent first."""

import heapq

from serving.batch import Batch, Entry

SWEPT_FROM = 1024
"""Places from which those without a row that waits are swept out once they are the greater part."""


class WaitingRows:
    """A heap by deadline; rows that nobody waits for go after all others.

    A row that leaves the queue out of turn leaves its place behind, which is passed over later:
    most leave in their turn.
    """

    __slots__ = ("_heap", "_number", "live")

    def __init__(self) -> None:
        self.live = 0
        """Rows that wait."""
        self._heap: list[tuple[bool, float, int, Entry]] = []
        self._number = 0

    def push(self, entry: Entry) -> None:
        """Let a row wait."""
        entry.waiting = True
        self.live += 1
        self.place(entry)

    def place(self, entry: Entry) -> None:
        """Give a row the place of its deadline: also one that waits and has become more urgent."""
        self._number += 1
        heapq.heappush(self._heap, (entry.background, entry.deadline, self._number, entry))

    @property
    def first(self) -> Entry | None:
        """The most urgent row that waits."""
        heap = self._heap
        while heap and not heap[0][3].waiting:
            heapq.heappop(heap)
        return heap[0][3] if heap else None

    def leave(self, entry: Entry) -> None:
        """Let a row that waits go."""
        entry.waiting = False
        self.live -= 1

    def sweep(self) -> None:
        """Give up places without a row that waits, where there are many."""
        if len(self._heap) > SWEPT_FROM and len(self._heap) > 2 * self.live:
            # A replica that hangs takes nothing: without this, what expired would pile up.
            self._heap = [item for item in self._heap if item[3].waiting]
            heapq.heapify(self._heap)

    def empty(self) -> Batch:
        """Let every row go, and give them."""
        gone = []
        for *_, entry in self._heap:
            # One that has become more urgent has two places.
            if entry.waiting:
                entry.waiting = False
                gone.append(entry)
        self._heap.clear()
        self.live = 0
        return gone
