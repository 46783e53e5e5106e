"""Replica counts, and the serving processes that share a route change."""

from collections.abc import Sequence

revision: str = "694557e32805"
down_revision: str | Sequence[str] | None = "ace1bed9ad9c"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
