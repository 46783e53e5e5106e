"""Budgets as a ledger; keys against repetition of the monitor's changes."""

from collections.abc import Sequence

revision: str = "d0d4d7a16b20"
down_revision: str | Sequence[str] | None = "7f33dfcafa4b"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
