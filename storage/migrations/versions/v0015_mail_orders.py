"""Who is told when a text that was ordered by mail fails."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "mail_orders",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("login_id", sa.String(), nullable=False),
        sa.Column("about_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_orders")),
    )
    op.create_index(op.f("ix_mail_orders_login_id"), "mail_orders", ["login_id"], unique=False)
    op.create_index(op.f("ix_mail_orders_expires_at"), "mail_orders", ["expires_at"], unique=False)
