"""Policies that learn: their state and the place up to which they have read."""

from collections.abc import Sequence

revision: str = "ace1bed9ad9c"
down_revision: str | Sequence[str] | None = "a1f0c5d2e301"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
