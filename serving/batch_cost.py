"""What a batch costs: a fixed part and a part for each row, learned from the replica's own clock.

References
----------
D. Crankshaw et al., Clipper, NSDI 2017, section 4.3, sizes batches by a measured latency. The
decay is that of recursive least squares with a forgetting factor (S. Haykin, Adaptive Filter
Theory, chapter 9).
"""

DECAY = 0.98
"""Weight of an observation against the next: about the last fifty batches count."""

ERROR_SHARE = 0.05
"""Share of the newest batch in the mean error."""


class BatchCost:
    """Decayed least squares of seconds over rows: seconds = fixed + per_row * rows."""

    def __init__(self) -> None:
        self.observed = 0
        self.fixed = 0.0
        """Seconds that a batch of no rows would take."""
        self.per_row = 0.0
        """Seconds that each row adds."""
        self.mean_rows = 1.0
        """Rows of a usual batch."""
        self.error = 0.0
        """By how many seconds a prediction errs, in the mean of the last batches."""
        self._w = self._wn = self._wnn = self._ws = self._wns = 0.0

    def observe(self, rows: int, seconds: float) -> None:
        """Take in one batch that was answered."""
        if self.observed:
            missed = abs(seconds - self.seconds(rows))
            self.error += (missed - self.error) * ERROR_SHARE
        self.observed += 1
        self._w = self._w * DECAY + 1
        self._wn = self._wn * DECAY + rows
        self._wnn = self._wnn * DECAY + rows * rows
        self._ws = self._ws * DECAY + seconds
        self._wns = self._wns * DECAY + rows * seconds
        mean_rows = self.mean_rows = self._wn / self._w
        mean_seconds = self._ws / self._w
        spread = self._wnn / self._w - mean_rows * mean_rows
        # Batches of one size say nothing about the share of a row: the last share is kept.
        if spread > 0.01 * mean_rows:
            covariance = self._wns / self._w - mean_rows * mean_seconds
            self.per_row = max(0.0, covariance / spread)
        # A slope steeper than the mean would make the fixed part negative.
        self.per_row = min(self.per_row, mean_seconds / mean_rows)
        self.fixed = mean_seconds - self.per_row * mean_rows

    def seconds(self, rows: int, batches: int = 1) -> float:
        """Predicted time of rows that are answered in a number of batches."""
        return self.fixed * batches + self.per_row * rows

    def rows_within(self, seconds: float, limit: int) -> int:
        """Most rows that one batch answers within a time: at least 1, at most `limit`."""
        left = seconds - self.fixed
        if left <= 0:
            # Late whatever its size: one that is large at least catches up.
            return limit if self.fixed > 0 else 1
        if self.per_row * limit <= left:
            return limit
        return max(1, int(left / self.per_row))
