"""Which revision each serving process answers by."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "8e2f4b6a91d3"
down_revision: str | Sequence[str] | None = "5d1c8e0b7a42"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "served_revisions",
        sa.Column("process_id", sa.Uuid(), nullable=False),
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "switched_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["process_id"],
            ["serving_processes.id"],
            name=op.f("fk_served_revisions_process_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("process_id", "application_id", name=op.f("pk_served_revisions")),
    )


def downgrade() -> None:
    """Take it back."""
    op.drop_table("served_revisions")
