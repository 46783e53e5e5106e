"""What a watch is about: segments, parameters, places in the signals."""

from collections.abc import Sequence

revision: str = "70ed3e756c43"
down_revision: str | Sequence[str] | None = "694557e32805"
branch_labels: None = None
depends_on: None = None


def upgrade() -> None:
    """Nothing yet."""


def downgrade() -> None:
    """Nothing yet."""
