"""Replica counts, and the serving processes that share a route change."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "694557e32805"
down_revision: str | Sequence[str] | None = "ace1bed9ad9c"
branch_labels: None = None
depends_on: None = None

NOW = sa.text("now()")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add what several processes agree by, and what an operator says of replicas."""
    op.add_column("revisions", sa.Column("decided_at", MOMENT, nullable=True))
    op.create_table(
        "version_replicas",
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("cpu", sa.Float(), nullable=True),
        sa.Column("memory_mb", sa.Integer(), nullable=True),
        sa.Column("updated_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("updated_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("count > 0", name=op.f("ck_version_replicas_count")),
        sa.CheckConstraint("cpu > 0", name=op.f("ck_version_replicas_cpu")),
        sa.CheckConstraint("memory_mb > 0", name=op.f("ck_version_replicas_memory_mb")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_version_replicas_version_id")
        ),
        sa.PrimaryKeyConstraint("version_id", name=op.f("pk_version_replicas")),
    )
    op.create_table(
        "serving_processes",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("backend_pid", sa.Integer(), nullable=False),
        sa.Column("started_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("heartbeat_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_serving_processes")),
        sa.UniqueConstraint("name", name=op.f("uq_serving_processes_name")),
    )
    op.create_table(
        "route_announcements",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("application_id", sa.Integer(), nullable=False),
        sa.Column("policy", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("schema", sa.JSON(), nullable=False),
        sa.Column(
            "probe", postgresql.JSONB(none_as_null=True, astext_type=sa.Text()), nullable=True
        ),
        sa.Column("announced_by", sa.Uuid(), nullable=False),
        sa.Column("announced_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["application_id"],
            ["applications.id"],
            name=op.f("fk_route_announcements_application_id"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_route_announcements")),
    )
    op.create_table(
        "route_announcement_answers",
        sa.Column("announcement_id", sa.Uuid(), nullable=False),
        sa.Column("process_id", sa.Uuid(), nullable=False),
        sa.Column("answer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("answered_at", MOMENT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["announcement_id"],
            ["route_announcements.id"],
            name=op.f("fk_route_announcement_answers_announcement_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "announcement_id", "process_id", name=op.f("pk_route_announcement_answers")
        ),
    )


def downgrade() -> None:
    """Take them away; a version then has one replica again."""
    op.drop_table("route_announcement_answers")
    op.drop_table("route_announcements")
    op.drop_table("serving_processes")
    op.drop_table("version_replicas")
    op.drop_column("revisions", "decided_at")
