"""States of detectors are stored as they are: they hardly compress, and trying took half of what
Postgres spends on an application that is seldom asked."""

from collections.abc import Sequence

from alembic import op

revision: str = "d41f7c20b95e"
down_revision: str | Sequence[str] | None = "3c9a71e4f206"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Apply it."""
    # No row is rewritten: what is there is so at its next step.
    op.execute("ALTER TABLE watch_states ALTER COLUMN state SET STORAGE EXTERNAL")


def downgrade() -> None:
    """Take it back."""
    op.execute("ALTER TABLE watch_states ALTER COLUMN state SET STORAGE EXTENDED")
