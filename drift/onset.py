"""When did it begin: the start of the last excursion of each stake's CUSUM."""

import numpy as np
from numpy.typing import NDArray

Products = NDArray[np.float64]
"""Shape (stakes, chunks, rows): products of the factors since the start of each chunk."""


class Excursions:
    """Follows, for each stake, max(0, sum of log factors) and the step at which it last left 0.

    Works on the engine's chunks: only the smallest product of a chunk and its last one are
    needed, so a row costs one comparison a stake and no logarithm.
    """

    def __init__(self, stakes: int) -> None:
        self.height = np.zeros(stakes)
        """CUSUM at the start of the current chunk, in nats."""
        self.began = np.zeros(stakes, dtype=np.int64)
        """Steps consumed when the excursion began, as known at the start of the chunk."""
        self.lowest = np.ones(stakes)
        """Smallest product within the current chunk."""
        self.lowest_at = np.zeros(stakes, dtype=np.int64)
        """Steps consumed at that smallest product."""

    def advance(self, products: Products, start: int, end: int) -> "Trace":
        """Consume chunks of products; the last may be incomplete.

        Parameters
        ----------
        products
            Padded before the first new row with the product so far, and after the last with it.
        start
            Steps consumed at the start of the first chunk.
        end
            Steps consumed after the last real row.
        """
        stakes, chunks, rows = products.shape
        chunk_starts = start + rows * np.arange(chunks)
        at = products.argmin(axis=2)
        lowest = products[np.arange(stakes)[:, None], np.arange(chunks), at]
        lowest_at = at + chunk_starts + 1
        # The first chunk may have begun in an earlier call, and its own start counts as a point.
        # Padding repeats a product already seen, so it never wins against what is carried.
        carried = np.ones((stakes, chunks))
        carried_at = np.empty((stakes, chunks), dtype=np.int64)
        carried_at[:] = chunk_starts
        carried[:, 0], carried_at[:, 0] = self.lowest, self.lowest_at
        lowest_at = np.where(carried <= lowest, carried_at, lowest_at)
        lowest = np.minimum(carried, lowest)

        log_lowest, log_last = np.log(lowest), np.log(products[:, :, -1])
        heights, height = _heights(self.height, log_lowest, log_last)
        # Lowest points come later and later, so the last one that touched 0 is the largest.
        touched = heights + log_lowest <= 0.0
        last_touched = np.maximum.accumulate(np.where(touched, lowest_at, -1), axis=1)
        after = np.maximum(last_touched, self.began[:, None])
        beginnings = np.concatenate([self.began[:, None], after[:, :-1]], axis=1)
        trace = Trace(products, heights, beginnings, chunk_starts, (self.lowest, self.lowest_at))
        if end == start + chunks * rows:
            self.height, self.began = height, after[:, -1].copy()
            self.lowest, self.lowest_at = np.ones(stakes), np.full(stakes, end, dtype=np.int64)
        else:
            self.height, self.began = heights[:, -1].copy(), beginnings[:, -1].copy()
            self.lowest, self.lowest_at = lowest[:, -1].copy(), lowest_at[:, -1].copy()
        return trace

    def step(self, product: NDArray[np.float64], steps: int) -> None:
        """Consume one row within a chunk, after which `steps` steps are consumed in all."""
        lower = product < self.lowest
        self.lowest_at = np.where(lower, steps, self.lowest_at)
        self.lowest = np.where(lower, product, self.lowest)

    def jump(self, log_sums: NDArray[np.float64], steps: int) -> NDArray[np.int64]:
        """Consume a whole batch as one step, up to `steps` steps in all; return the beginnings.

        Call only between chunks.
        """
        height = self.height + log_sums
        began = self.began
        self.height = np.maximum(height, 0.0)
        self.began = np.where(height <= 0.0, steps, began)
        self.lowest, self.lowest_at = np.ones(len(height)), np.full(len(height), steps)
        return began

    def close_chunk(self, product: NDArray[np.float64], steps: int) -> None:
        """End the current chunk early, after `steps` steps."""
        log_lowest, log_last = np.log(self.lowest), np.log(product)
        touched = self.height + log_lowest <= 0.0
        self.began = np.where(touched, self.lowest_at, self.began)
        self.height = np.where(touched, log_last - log_lowest, self.height + log_last)
        self.lowest, self.lowest_at = np.ones(len(product)), np.full(len(product), steps)


class Trace:
    """The excursions of one `advance`, asked only where there was an alarm."""

    def __init__(
        self,
        products: Products,
        heights: NDArray[np.float64],
        beginnings: NDArray[np.int64],
        chunk_starts: NDArray[np.int64],
        carried: tuple[NDArray[np.float64], NDArray[np.int64]],
    ) -> None:
        self._products = products
        self._heights = heights
        self._beginnings = beginnings
        self._chunk_starts = chunk_starts
        self._lowest, self._lowest_at = carried

    def began(self, stake: int, chunk: int, row: int) -> int:
        """Steps consumed when the excursion under way at this row began."""
        seen = self._products[stake, chunk, : row + 1]
        at = int(seen.argmin())
        lowest, lowest_at = float(seen[at]), int(self._chunk_starts[chunk]) + at + 1
        first = chunk == 0
        carried = float(self._lowest[stake]) if first else 1.0
        if carried <= lowest:
            lowest = carried
            lowest_at = int(self._lowest_at[stake] if first else self._chunk_starts[chunk])
        if float(self._heights[stake, chunk]) + float(np.log(lowest)) <= 0.0:
            return lowest_at
        return int(self._beginnings[stake, chunk])


def _heights(
    height: NDArray[np.float64], log_lowest: NDArray[np.float64], log_last: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """CUSUM at the start of each chunk, shape (stakes, chunks), and after the last one."""
    # A chunk needs the one before it, and eight stakes are too few for numpy to pay: plain floats.
    heights, ends = [], []
    for level, lows, lasts in zip(
        height.tolist(), log_lowest.tolist(), log_last.tolist(), strict=True
    ):
        row = []
        for low, last in zip(lows, lasts, strict=True):
            row.append(level)
            down = level + low
            level += last - down if down < 0.0 else last  # noqa: PLW2901  # carried on
        heights.append(row)
        ends.append(level)
    return np.array(heights), np.array(ends)
