"""How often an alarm was said again while its fault lasted."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8f2b6d4e1a97"
down_revision: str | Sequence[str] | None = "8e2f4b6a91d3"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    # A constant default: no row is rewritten.
    op.add_column("alarms", sa.Column("repeats", sa.Integer, nullable=False, server_default="0"))
    op.add_column("alarms", sa.Column("repeated_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Take it back."""
    op.drop_column("alarms", "repeated_at")
    op.drop_column("alarms", "repeats")
