"""Rows that complete no step of a test stand beside the detectors' states."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "3c9a71e4f206"
down_revision: str | Sequence[str] | None = "8e27b0c5d913"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    # Constant defaults: no row is rewritten, and nothing is put aside beside what is there.
    op.add_column("watch_states", sa.Column("room", sa.Integer, nullable=False, server_default="0"))
    op.add_column(
        "watch_states", sa.Column("aside", sa.LargeBinary, nullable=False, server_default="")
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_column("watch_states", "aside")
    op.drop_column("watch_states", "room")
