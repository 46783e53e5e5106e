"""One tier's recursion over many rows at once, in an order of sums that no split changes."""

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 1.0
"""The statistic is in units of alarms, so the theorem's threshold is 1."""

Found = tuple[int, float, int]
"""An alarm: place of its row in the chunks, statistic, leading stake."""

Wealth = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Shape (stakes,) each: wealth at the start of a chunk, and what was granted since in its units."""


class Walk:
    """Follows one tier through chunks of rows, restarting it at each alarm.

    Parameters
    ----------
    products : shape (stakes, chunks, rows)
        Products of the factors since the start of each chunk.
    budget : shape (chunks, rows)
        Expected false alarms allowed at each row; written into.
    position, end
        Places of the first new row and after the last, counted through the chunks.
    """

    def __init__(
        self, products: NDArray[np.float64], budget: NDArray[np.float64], position: int, end: int
    ) -> None:
        self._products = products
        self._budget = budget
        self._position = position
        self._end = end

    def go(
        self, anchor: NDArray[np.float64], granted: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], list[Found], Wealth]:
        """Walk from the wealth at the start of the first chunk and what was granted since.

        Returns
        -------
        statistic : shape (end - position,)
            After each row, before a restart.
        found
            The alarms, in order.
        wealth
            As it was given, for the chunk that is not finished or the next one.
        """
        stakes, chunks, size = self._products.shape
        statistic = np.empty(self._end - self._position)
        found: list[Found] = []
        start, carry = self._position, granted
        while True:
            # Only the chunks from the last alarm on have to be done again.
            first = min(start // size, chunks - 1)
            products = self._products[:, first:]
            sums = granted_in_chunks(self._budget[first:], products)
            sums[:, 0, 0] += carry
            np.add.accumulate(sums, axis=2, out=sums)
            anchors, anchor = chain(products, sums, anchor)
            unfinished = sums[:, -1, (self._end - 1) % size].copy()
            sums += anchors[:, :, None]
            sums *= products
            skipped = first * size
            wealth = sums.reshape(stakes, -1)[:, start - skipped : self._end - skipped]
            level = mean_over_stakes(wealth)
            statistic[start - self._position :] = level
            hits = level >= THRESHOLD
            if not hits.any():
                break
            row = int(hits.argmax())
            found.append((start + row, float(level[row]), int(wealth[:, row].argmax())))
            # Restart at zero: what was granted up to here is spent.
            start += row + 1
            self._budget.reshape(-1)[:start] = 0.0
            anchor, carry = np.zeros(stakes), np.zeros(stakes)
        if self._end == chunks * size:
            return statistic, found, (anchor, np.zeros(stakes))
        return statistic, found, (anchors[:, -1].copy(), unfinished)


def granted_in_chunks(
    budget: NDArray[np.float64], products: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each row's grant in units of the wealth at the start of its chunk."""
    granted = np.empty_like(products)
    granted[:, :, 0] = budget[:, 0]
    np.divide(budget[:, 1:], products[:, :, :-1], out=granted[:, :, 1:])
    return granted


def chain(
    products: NDArray[np.float64],
    granted: NDArray[np.float64],
    anchor: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Wealth at the start of each chunk, shape (stakes, chunks), and after the last one."""
    # A chunk needs the one before it, and eight stakes are too few for numpy to pay: plain floats.
    # Wealth that alone makes an alarm is cut off there: what follows is done again after the
    # restart, and must not overflow before.
    enough = THRESHOLD * len(anchor)
    anchors, ends = [], []
    for wealth, factors, additions in zip(
        anchor.tolist(), products[:, :, -1].tolist(), granted[:, :, -1].tolist(), strict=True
    ):
        row = []
        for factor, addition in zip(factors, additions, strict=True):
            row.append(wealth)
            wealth = factor * (wealth + addition)  # noqa: PLW2901
            # Three times as quick as min.
            if wealth > enough:  # noqa: PLR1730  # as the line above says
                wealth = enough  # noqa: PLW2901
        anchors.append(row)
        ends.append(wealth)
    return np.array(anchors), np.array(ends)


def mean_over_stakes(wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the stakes, added up one after another.

    numpy's own sum changes its order with the number of rows, and so would the last bit.
    """
    total: NDArray[np.float64] = wealth[0].copy()
    for row in wealth[1:]:
        total += row
    total /= len(wealth)
    return total
