"""Logins for those who order texts by mail, and the addresses that they may write as senders."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "mail_logins",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("label_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("verifier_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("automatic", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_mail_logins_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_logins")),
        sa.UniqueConstraint("login", name=op.f("uq_mail_logins_login")),
    )
    op.create_index(op.f("ix_mail_logins_account_id"), "mail_logins", ["account_id"], unique=False)
    op.create_table(
        "mail_addresses",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("login_id", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("address_sealed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["login_id"], ["mail_logins.id"], name=op.f("fk_mail_addresses_login_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_addresses")),
        sa.UniqueConstraint("digest", name=op.f("uq_mail_addresses_digest")),
    )
    op.create_index(op.f("ix_mail_addresses_login_id"), "mail_addresses", ["login_id"], unique=False)
