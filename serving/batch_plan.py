"""What the next batch holds, who may still join it, and whether a wait for more pays.

Everything here is computed from what waits and from the learned cost; nothing is sent or awaited.
"""

from serving.batch import BatchLimits, Entry
from serving.batch_cost import BatchCost
from serving.batch_size import Controller, make_size


class BatchPlan:
    """The rules by which one queue forms its batches.

    Parameters
    ----------
    limits
        What bounds a batch and its wait.
    controller
        How batches are sized.
    """

    def __init__(self, limits: BatchLimits, controller: Controller) -> None:
        self.cost = BatchCost()
        self._limits = limits
        self._size = make_size(controller, self.cost)

    def observe(self, rows: int, seconds: float, objective: float) -> None:
        """Take in a batch that was answered, by the replica's own clock."""
        self.cost.observe(rows, seconds)
        self._size.observe(rows, seconds, objective)

    @property
    def is_trusted(self) -> bool:
        """Whether enough batches were seen to turn anybody away by what they cost."""
        return self.cost.observed >= self._limits.warm_batches

    def has_room(
        self,
        now: float,
        deadline: float,
        *,
        left: float,
        ready: int,
        waiting: int,
        head: Entry | None,
    ) -> bool:
        """Whether a row that comes now is likely to be answered in time.

        Parameters
        ----------
        left
            Seconds until the first replica is free.
        ready
            Replicas that answer, at least 1.
        waiting
            Rows that wait.
        head
            The most urgent of them.
        """
        rows = waiting // ready + 1
        # The next batch is as large as the most urgent row allows, who is the first to be asked.
        seconds = deadline - now - left if head is None else self.usable(head, now + left)
        # Without time for even one row there, nothing can be added to that batch.
        batch = 1
        if seconds > self.cost.seconds(1):
            batch = self._size.rows_within(seconds, self._limits.rows)
        batches = -(-rows // batch)
        wait = left + self.cost.seconds(rows, batches) + self._margin
        budget = self._limits.admitted * (deadline - now)
        # It must not come so late to its batch that this one could only be a small one: small
        # batches pay the fixed cost more often, and the rows after them come later still.
        before = left + self.cost.seconds((batches - 1) * batch, batches - 1)
        least = min(self.cost.seconds(self._limits.rows), 0.5 * budget)
        return wait <= budget and (batches == 1 or before + least <= budget)

    @property
    def _margin(self) -> float:
        return self._limits.errors_allowed * self.cost.error

    def usable(self, entry: Entry, now: float) -> float:
        """What a batch may be predicted to take with this row in it."""
        objective = entry.deadline - entry.arrived
        kept_back = (1 - self._limits.slack_used) * objective
        left = entry.deadline - now
        return max(left - kept_back - self._margin, left * 0.5)

    def rows_with(self, first: Entry, now: float, limit: int) -> int:
        """Most rows of a batch whose most urgent row this is."""
        seconds = self.usable(first, now)
        if first.background:
            seconds = min(seconds, self._limits.background + self.cost.fixed)
        return self._size.rows_within(seconds, limit)

    def share(self, free: int, waiting: int) -> int:
        """Most rows for one of several free replicas: divided as far as that shortens anything."""
        if free == 1:
            return self._limits.rows
        work = self.cost.per_row * waiting
        parts = max(1, min(free, int(work / self.cost.fixed) if self.cost.fixed > 0 else free))
        return min(self._limits.rows, -(-waiting // parts))

    def linger(self, now: float, waiting: int, usual: int, deadline: float) -> float:
        """Seconds to wait for more: a share of a large fixed cost, nothing for a lone caller.

        Parameters
        ----------
        usual
            Rows of the batch before.
        deadline
            Of the most urgent row.
        """
        fixed, limits = self.cost.fixed, self._limits
        if fixed < limits.linger_from or waiting >= usual:
            return 0.0
        share = limits.linger_share * (1 - 1 / max(1.0, self.cost.mean_rows))
        slack = deadline - now - self.cost.seconds(waiting)
        return max(0.0, min(share * fixed, slack * 0.5))

    def is_hopeless(self, seconds: float) -> bool:
        """Whether a row with so much time would be late even alone."""
        return self.is_trusted and self.cost.seconds(1) > seconds
