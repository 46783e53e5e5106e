"""Alert groups, inhibition, recovery; channels of delivery."""

from collections.abc import Sequence

revision: str = "47454f40e3a0"
down_revision: str | Sequence[str] | None = "70ed3e756c43"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
