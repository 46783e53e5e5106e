"""Alert groups, inhibition, recovery; channels of delivery."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "47454f40e3a0"
down_revision: str | Sequence[str] | None = "694557e32805"
branch_labels: None = None
depends_on: None = None

Moment = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply it."""
    op.add_column("alerts", sa.Column("inhibited_by", sa.BigInteger))
    op.add_column("alerts", sa.Column("told_at", Moment))
    op.add_column("alerts", sa.Column("recovery", JSONB))
    # What is open was told when it opened: the first turn after the upgrade must not repeat it.
    op.execute("UPDATE alerts SET told_at = opened_at")
    for name, default in (("format", "generic"), ("envelope", "none")):
        op.add_column("webhooks", sa.Column(name, sa.Text, nullable=False, server_default=default))
    op.create_check_constraint(
        op.f("ck_webhooks_format"),
        "webhooks",
        "format IN ('generic', 'alertmanager', 'slack', 'email')",
    )
    op.create_check_constraint(
        op.f("ck_webhooks_envelope"), "webhooks", "envelope IN ('none', 'cloudevents')"
    )
    op.add_column(
        "deliveries",
        sa.Column(
            "waiting_since", Moment, nullable=False, server_default=sa.func.clock_timestamp()
        ),
    )
    op.create_index("ix_deliveries_alert_id", "deliveries", ["alert_id"])
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["webhook_id", "alert_id", "sequence"],
        postgresql_where=sa.text("state = 'waiting'"),
    )


def downgrade() -> None:
    """Take it back. Webhooks of a form that the monitor before does not know are removed."""
    op.drop_index("ix_deliveries_waiting", "deliveries")
    op.drop_index("ix_deliveries_alert_id", "deliveries")
    op.drop_column("deliveries", "waiting_since")
    op.execute("DELETE FROM webhooks WHERE format <> 'generic' OR envelope <> 'none'")
    for name in ("envelope", "format"):
        op.drop_column("webhooks", name)
    for name in ("recovery", "told_at", "inhibited_by"):
        op.drop_column("alerts", name)
