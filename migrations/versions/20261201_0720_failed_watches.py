"""A watch whose evaluation raised says since when it does not watch, and why."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "7be2a40c91d3"
down_revision: str | Sequence[str] | None = "d41f7c20b95e"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    op.add_column("watches", sa.Column("failed_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("watches", sa.Column("failure", sa.Text(), nullable=True))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("watches", "failure")
    op.drop_column("watches", "failed_at")
