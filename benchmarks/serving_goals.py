"""What serving is to reach against others on the same machine, and whether it did."""

from dataclasses import dataclass

Seen = dict[str, dict[int, dict[str, float]]]
"""By server and connections: the medians of all turns."""

FOREST_CONNECTIONS = (16, 64)


@dataclass(frozen=True, slots=True)
class Goal:
    """What is to be reached."""

    reached: float | None
    gate: float
    aim: float
    most: bool = False
    """Whether the figure is to be at most that, not at least."""

    @property
    def is_met(self) -> bool | None:
        """Whether the gate is reached; none where a server was left out."""
        if self.reached is None:
            return None
        return self.reached <= self.gate if self.most else self.reached >= self.gate


def goals(found: Seen) -> dict[str, Goal]:
    """Hold what was seen against what is to be reached."""

    def over(
        ours: str, other: str, figure: str = "per_second", connections: int = 64
    ) -> float | None:
        if other not in found or ours not in found:
            return None
        return found[ours][connections][figure] / found[other][connections][figure]

    return {
        "share of the echo at 64": Goal(over("leadsman", "asgi_echo"), 0.30, 0.50),
        "over FastAPI by hand at 64": Goal(over("leadsman", "handwritten_fastapi"), 2.5, 4.5),
        "durable before the answer, over an INSERT by hand at 64": Goal(
            over("leadsman_before", "handwritten_insert"), 5.0, 10.0
        ),
        "durable before the answer, over FastAPI without a record at 64": Goal(
            over("leadsman_before", "handwritten_fastapi"), 1.5, 3.0
        ),
        "over mosec at 64": Goal(over("leadsman", "mosec"), 0.25, 0.5),
        "over mosec at 16": Goal(over("leadsman", "mosec", connections=16), 1.5, 2.5),
        **{
            f"over {name} at 64": Goal(over("leadsman", name), 4.0, 8.0)
            for name in ("mlserver", "bentoml", "litserve")
        },
        "p50 over FastAPI's by hand at 1": Goal(
            over("leadsman", "handwritten_fastapi", "p50_ms", 1), 1.5, 1.0, most=True
        ),
        "cache hits, share of the echo at 64": Goal(over("leadsman_cached", "asgi_echo"), 0.5, 0.8),
    }


def forest_goals(found: Seen, floor: float) -> dict[str, Goal]:
    """Hold what was seen of the dear model against what is to be reached."""
    ours = found["leadsman"]

    def over(other: str, figure: str, connections: int) -> float | None:
        if other not in found:
            return None
        mine = path_cpu(connections) if figure == "cpu_us" else ours[connections][figure]
        return mine / found[other][connections][figure]

    def path_cpu(connections: int) -> float:
        # Others record nothing and watch nothing: the record's and the monitor's own time is told
        # in the table and not held against theirs.
        return sum(ours[connections][f"cpu_us_{part}"] for part in ("serving", "serving.replica"))

    return {
        "forest: CPU at 64 over full batches alone": Goal(
            path_cpu(64) / floor, 2.0, 1.2, most=True
        ),
        "forest: over FastAPI by hand at 64": Goal(
            over("handwritten_fastapi", "per_second", 64), 12.0, 30.0
        ),
        **{
            f"forest: CPU over mosec's at {connections}": Goal(
                over("mosec", "cpu_us", connections), 1.4, 1.05, most=True
            )
            for connections in FOREST_CONNECTIONS
        },
    }


def verdicts(reached: dict[str, Goal]) -> str:
    """Say what was reached and what was not."""
    return "\n".join(
        f"{name}: {goal.reached:.2f} ({'at most' if goal.most else 'at least'} {goal.gate:g}, "
        f"aim {goal.aim:g}): {'met' if goal.is_met else 'MISSED'}"
        for name, goal in reached.items()
        if goal.reached is not None
    )
