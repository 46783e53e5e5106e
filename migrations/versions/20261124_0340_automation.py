"""Switches, remedies' next steps, leases, summaries; alarms outlive their watches."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "7f33dfcafa4b"
down_revision: str | Sequence[str] | None = "47454f40e3a0"
branch_labels: None = None
depends_on: None = None

Moment = sa.DateTime(timezone=True)
WATCH_OF_ALARM = "fk_alarms_watch_id"


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "automation_switches",
        sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("application_id", sa.Integer),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("at", Moment, nullable=False, server_default=sa.func.clock_timestamp()),
    )
    op.create_index(
        "ix_automation_switches_application_id_id", "automation_switches", ["application_id", "id"]
    )
    op.create_table(
        "monitor_leases",
        sa.Column("shard", sa.Text, primary_key=True),
        sa.Column("token", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("holder", sa.Uuid),
        sa.Column("expires_at", Moment),
    )
    op.create_table(
        "monitor_processes",
        sa.Column("id", sa.Uuid, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("backend_pid", sa.Integer, nullable=False),
        sa.Column("backend_started_at", Moment, nullable=False),
        sa.Column("started_at", Moment, nullable=False, server_default=sa.func.now()),
        sa.Column("heartbeat_at", Moment, nullable=False, server_default=sa.func.now()),
    )
    op.create_table(
        "signal_summaries",
        sa.Column("application_id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("signal", sa.Text, primary_key=True),
        sa.Column("step_s", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("subject", sa.Text, primary_key=True),
        sa.Column("at", Moment, primary_key=True),
        sa.Column("n", sa.BigInteger, nullable=False),
        sa.Column("total", sa.Float, nullable=False),
        sa.Column("squares", sa.Float, nullable=False),
    )
    for step_s in (60, 3600):
        op.execute(
            f"""
            INSERT INTO signal_summaries
            SELECT application_id, signal, {step_s}, subject,
                   to_timestamp(floor(extract(epoch FROM at) / {step_s}) * {step_s}),
                   sum(n), sum(total), sum(squares)
              FROM signal_points GROUP BY 1, 2, 4, 5
            """
        )
    op.add_column("watches", sa.Column("rule", JSONB))
    op.add_column("remedies", sa.Column("rule", JSONB))
    op.add_column("remedies", sa.Column("step", sa.Integer, nullable=False, server_default="0"))
    op.add_column("remedies", sa.Column("follows", sa.BigInteger))
    op.add_column("remedies", sa.Column("route_check", JSONB))
    # The monitor before kept several waiting; the oldest of each application stays in flight.
    op.execute(
        """
        UPDATE remedies r SET state = 'held', next_attempt_at = NULL,
               state_reason = 'another remedy of the application was in flight'
         WHERE state IN ('decided', 'approved') AND EXISTS (
               SELECT 1 FROM remedies o
                WHERE o.application_id = r.application_id AND o.id < r.id
                  AND o.state IN ('decided', 'approved'))
        """
    )
    op.create_index(
        "uq_remedies_in_flight",
        "remedies",
        ["application_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('decided', 'approved')"),
    )
    op.alter_column("alarms", "watch_id", nullable=True)
    op.drop_constraint(WATCH_OF_ALARM, "alarms")
    op.create_foreign_key(
        WATCH_OF_ALARM, "alarms", "watches", ["watch_id"], ["id"], ondelete="SET NULL"
    )


def downgrade() -> None:
    """Take it back. Alarms of watches that were removed since go with them, as they did before."""
    op.execute("DELETE FROM alarms WHERE watch_id IS NULL")
    op.drop_constraint(WATCH_OF_ALARM, "alarms")
    op.create_foreign_key(
        WATCH_OF_ALARM, "alarms", "watches", ["watch_id"], ["id"], ondelete="CASCADE"
    )
    op.alter_column("alarms", "watch_id", nullable=False)
    op.drop_index("uq_remedies_in_flight", "remedies")
    for column in ("route_check", "follows", "step", "rule"):
        op.drop_column("remedies", column)
    op.drop_column("watches", "rule")
    for table in ("signal_summaries", "monitor_processes", "monitor_leases", "automation_switches"):
        op.drop_table(table)
