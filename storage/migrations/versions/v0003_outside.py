"""The outside world: trunks, own numbers, forwards, limits, what was used, emergency calls; gaps in recordings."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("lines", sa.Column("strategy", sa.String(), server_default="simultaneous", nullable=False))
    op.add_column("lines", sa.Column("member_ring_s", sa.Integer(), server_default="20", nullable=False))
    op.add_column("recordings", sa.Column("gaps", sa.Text(), nullable=True))
    _trunks()
    _numbers()
    op.create_table(
        "call_settings",
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("numbers_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("no_answer_s", sa.Integer(), nullable=False),
        sa.Column("dnd", sa.Boolean(), nullable=False),
        sa.Column("hide_number", sa.Boolean(), nullable=False),
        sa.Column("call_waiting", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_call_settings_account_id")),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_call_settings")),
    )
    _limits()
    op.create_table(
        "emergency_calls",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("trunk_id", sa.String(), nullable=True),
        sa.Column("drill", sa.Boolean(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reported_to", sa.Text(), nullable=False),
        sa.Column("presented_digest", sa.LargeBinary(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_emergency_calls_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_emergency_calls")),
    )
    for column in ("at", "account_id", "presented_digest"):
        op.create_index(op.f(f"ix_emergency_calls_{column}"), "emergency_calls", [column], unique=False)


def _trunks() -> None:
    op.create_table(
        "trunks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("access_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("ha1_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("transport", sa.String(), nullable=False),
        sa.Column("srtp", sa.Boolean(), nullable=False),
        sa.Column("ipv6", sa.Boolean(), nullable=False),
        sa.Column("register", sa.Boolean(), nullable=False),
        sa.Column("preference", sa.Integer(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("max_channels", sa.Integer(), nullable=False),
        sa.Column("international_format", sa.String(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trunks")),
        sa.UniqueConstraint("name", name=op.f("uq_trunks_name")),
    )


def _numbers() -> None:
    op.create_table(
        "owned_numbers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("number_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("line_id", sa.String(), nullable=True),
        sa.Column("trunk_id", sa.String(), nullable=True),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.CheckConstraint("account_id IS NULL OR line_id IS NULL", name=op.f("ck_owned_numbers_one_place")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_owned_numbers_account_id")),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_owned_numbers_line_id")),
        sa.ForeignKeyConstraint(["trunk_id"], ["trunks.id"], name=op.f("fk_owned_numbers_trunk_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_owned_numbers")),
        sa.UniqueConstraint("digest", name=op.f("uq_owned_numbers_digest")),
    )
    for column in ("account_id", "line_id", "trunk_id"):
        op.create_index(op.f(f"ix_owned_numbers_{column}"), "owned_numbers", [column], unique=False)


def _limits() -> None:
    op.create_table(
        "limits",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("international", sa.Boolean(), nullable=True),
        sa.Column("premium", sa.Boolean(), nullable=True),
        sa.Column("countries", sa.Text(), nullable=False),
        sa.Column("minutes_per_day", sa.Integer(), nullable=True),
        sa.Column("minutes_per_month", sa.Integer(), nullable=True),
        sa.Column("cents_per_day", sa.Integer(), nullable=True),
        sa.Column("cents_per_month", sa.Integer(), nullable=True),
        sa.Column("max_calls", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("owner", name=op.f("pk_limits")),
    )
    op.create_table(
        "usage",
        sa.Column("owner", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("seconds", sa.BigInteger(), nullable=False),
        sa.Column("cost_microeuros", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("owner", "day", name=op.f("pk_usage")),
    )
