"""What applications allow each tier, and which watches let predictions grow old."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8e27b0c5d913"
down_revision: str | Sequence[str] | None = "8f2b6d4e1a97"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "application_budgets",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("application_id", sa.Integer, nullable=False),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("per_year", sa.Float),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column(
            "set_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.func.clock_timestamp(),
        ),
    )
    op.create_index(
        "ix_application_budgets_application_id", "application_budgets", ["application_id"]
    )
    # Asked for whenever nothing comes; there are thousands of watches and few of these.
    op.create_index(
        "ix_watches_maturing",
        "watches",
        ["application_id"],
        postgresql_where=sa.text("enabled AND settings ? 'mature_after'"),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_index("ix_watches_maturing", "watches")
    op.drop_table("application_budgets")
