"""Kill switches, remedies' next steps, incidents, leases, summaries, retention."""

from collections.abc import Sequence

revision: str = "7f33dfcafa4b"
down_revision: str | Sequence[str] | None = "47454f40e3a0"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
