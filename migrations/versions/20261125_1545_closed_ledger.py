"""What watches had been granted whose tests began anew or that were removed."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "5d1c8e0b7a42"
down_revision: str | Sequence[str] | None = "c4d1e86a7b52"
branch_labels: None = None
depends_on: None = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "closed_ledger",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("application_id", sa.Integer, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("watch", sa.Text, nullable=False),
        sa.Column("signal", sa.Text, nullable=False),
        sa.Column("detector", sa.Text, nullable=False),
        sa.Column("granted", sa.Float, nullable=False),
        sa.Column("head_starts", sa.Float, nullable=False),
        sa.Column("alarms", sa.Integer, nullable=False),
        sa.Column("started_at", Moment),
        sa.Column("last_observed_at", Moment),
        sa.Column("closed_at", Moment, nullable=False, server_default=sa.func.now()),
    )
    op.create_index("ix_closed_ledger_application_id", "closed_ledger", ["application_id"])


def downgrade() -> None:
    """Take it back."""
    op.drop_table("closed_ledger")
