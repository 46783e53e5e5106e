"""Policies that learn: their state and the place up to which they have read."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "ace1bed9ad9c"
down_revision: str | Sequence[str] | None = "a1f0c5d2e301"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Add the sums of what feedback said, and the cursor."""
    op.create_table(
        "policy_statistics",
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("loss", sa.Float(), nullable=False),
        sa.Column("weighted_loss", sa.Float(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["applications.id"],
            name=op.f("fk_policy_statistics_application_id"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_policy_statistics_version_id")
        ),
        sa.PrimaryKeyConstraint(
            "application_id", "name", "key", "version_id", name=op.f("pk_policy_statistics")
        ),
    )
    op.create_index("ix_policy_statistics_turn", "policy_statistics", ["turn"])
    cursor = op.create_table(
        "policy_cursor",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("xact_id", sa.BigInteger(), nullable=False),
        sa.Column("shipment", sa.BigInteger(), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("id = 1", name=op.f("ck_policy_cursor_one_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_policy_cursor")),
    )  # fmt: skip
    op.bulk_insert(cursor, [{"id": 1, "xact_id": 0, "shipment": 0, "turn": 0}])


def downgrade() -> None:
    """Forget what policies learned."""
    op.drop_table("policy_cursor")
    op.drop_table("policy_statistics")
