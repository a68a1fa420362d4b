"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "access_reasons",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("reason_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_reasons")),
    )
    op.create_index(op.f("ix_access_reasons_at"), "access_reasons", ["at"], unique=False)
    op.create_table(
        "call_totals",
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("direction", sa.String(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "direction", name=op.f("pk_call_totals")),
    )
    op.create_table(
        "escrow_key",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("alg", sa.String(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_escrow_key_only_one")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_escrow_key")),
    )
    op.create_table(
        "keks",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("alg", sa.String(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("destroyed_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keks")),
        sa.UniqueConstraint("purpose", "period", name=op.f("uq_keks_purpose_period")),
    )
    op.create_table(
        "ledger_entries",
        sa.Column("log", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("leaf_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("log", "seq", name=op.f("pk_ledger_entries")),
    )
    op.create_index(op.f("ix_ledger_entries_log_day"), "ledger_entries", ["log", "day"], unique=False)
    op.create_table(
        "ledger_logs",
        sa.Column("log", sa.String(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("log", name=op.f("pk_ledger_logs")),
    )
    op.create_table(
        "ledger_segments",
        sa.Column("log", sa.String(), nullable=False),
        sa.Column("day", sa.String(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("head", sa.Text(), nullable=False),
        sa.Column("pruned", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("log", "day", name=op.f("pk_ledger_segments")),
    )
    op.create_table(
        "lines",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("pack", sa.String(), nullable=False),
        sa.Column("consent_mode", sa.String(), nullable=True),
        sa.Column("metadata_class", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("statute", sa.String(), nullable=True),
        sa.Column("ask_staff", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lines")),
        sa.UniqueConstraint("name", name=op.f("uq_lines_name")),
        sa.UniqueConstraint("number", name=op.f("uq_lines_number")),
    )
    op.create_table(
        "meta",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "people",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("login", sa.String(), nullable=False),
        sa.Column("display_name_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people")),
        sa.UniqueConstraint("login", name=op.f("uq_people_login")),
    )
    op.create_table(
        "accounts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("extension", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=True),
        sa.Column("display_name_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("metadata_class", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_accounts_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("extension", name=op.f("uq_accounts_extension")),
        sa.UniqueConstraint("name", name=op.f("uq_accounts_name")),
    )
    op.create_index(op.f("ix_accounts_person_id"), "accounts", ["person_id"], unique=False)
    op.create_table(
        "call_records",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("line_id", sa.String(), nullable=True),
        sa.Column("metadata_class", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("legal_basis", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("fields_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("numbers_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("recording_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_call_records_line_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_call_records")),
    )
    op.create_index(op.f("ix_call_records_at"), "call_records", ["at"], unique=False)
    op.create_index(op.f("ix_call_records_expires_at"), "call_records", ["expires_at"], unique=False)
    op.create_index(op.f("ix_call_records_line_id"), "call_records", ["line_id"], unique=False)
    op.create_index(op.f("ix_call_records_recording_id"), "call_records", ["recording_id"], unique=False)
    op.create_table(
        "kek_wraps",
        sa.Column("kek_id", sa.String(), nullable=False),
        sa.Column("reader_id", sa.String(), nullable=False),
        sa.Column("alg", sa.String(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["kek_id"], ["keks.id"], name=op.f("fk_kek_wraps_kek_id")),
        sa.PrimaryKeyConstraint("kek_id", "reader_id", name=op.f("pk_kek_wraps")),
    )
    op.create_index(op.f("ix_kek_wraps_reader_id"), "kek_wraps", ["reader_id"], unique=False)
    op.create_table(
        "reader_keys",
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("alg", sa.String(), nullable=False),
        sa.Column("public", sa.LargeBinary(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_reader_keys_person_id")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_reader_keys")),
    )
    op.create_table(
        "reader_rights",
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("granted_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_reader_rights_person_id")),
        sa.PrimaryKeyConstraint("person_id", "purpose", name=op.f("pk_reader_rights")),
    )
    op.create_table(
        "reader_totp",
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_reader_totp_person_id")),
        sa.PrimaryKeyConstraint("person_id", name=op.f("pk_reader_totp")),
    )
    op.create_table(
        "rec_keys",
        sa.Column("rec_id", sa.String(), nullable=False),
        sa.Column("kek_id", sa.String(), nullable=False),
        sa.Column("alg", sa.String(), nullable=False),
        sa.Column("wrap", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["kek_id"], ["keks.id"], name=op.f("fk_rec_keys_kek_id")),
        sa.PrimaryKeyConstraint("rec_id", name=op.f("pk_rec_keys")),
    )
    op.create_index(op.f("ix_rec_keys_kek_id"), "rec_keys", ["kek_id"], unique=False)
    op.create_table(
        "recordings",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("destroyed_at", sa.BigInteger(), nullable=True),
        sa.Column("call_id", sa.String(), nullable=True),
        sa.Column("purpose", sa.String(), nullable=True),
        sa.Column("pack_version", sa.String(), nullable=True),
        sa.Column("legal_basis", sa.String(), nullable=True),
        sa.Column("codec", sa.String(), nullable=True),
        sa.Column("rate_hz", sa.Integer(), nullable=True),
        sa.Column("channels", sa.Integer(), nullable=True),
        sa.Column("duration_ms", sa.BigInteger(), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("sha256", sa.String(), nullable=True),
        sa.Column("kek_id", sa.String(), nullable=True),
        sa.Column("parties_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("consent_refs", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["kek_id"], ["keks.id"], name=op.f("fk_recordings_kek_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recordings")),
    )
    op.create_index(op.f("ix_recordings_call_id"), "recordings", ["call_id"], unique=False)
    op.create_index(op.f("ix_recordings_expires_at"), "recordings", ["expires_at"], unique=False)
    op.create_index(op.f("ix_recordings_kek_id"), "recordings", ["kek_id"], unique=False)
    op.create_index(op.f("ix_recordings_started_at"), "recordings", ["started_at"], unique=False)
    op.create_index(op.f("ix_recordings_state"), "recordings", ["state"], unique=False)
    op.create_table(
        "call_peers",
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["call_id"], ["call_records.id"], name=op.f("fk_call_peers_call_id")),
        sa.PrimaryKeyConstraint("call_id", "role", name=op.f("pk_call_peers")),
    )
    op.create_index(op.f("ix_call_peers_digest"), "call_peers", ["digest"], unique=False)
    op.create_table(
        "devices",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("label_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("auth_user", sa.String(), nullable=False),
        sa.Column("ha1_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_devices_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_devices")),
        sa.UniqueConstraint("auth_user", name=op.f("uq_devices_auth_user")),
    )
    op.create_index(op.f("ix_devices_account_id"), "devices", ["account_id"], unique=False)
    op.create_table(
        "dialled",
        sa.Column("dialled", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("line_id", sa.String(), nullable=True),
        sa.CheckConstraint("(account_id IS NULL) <> (line_id IS NULL)", name=op.f("ck_dialled_one_owner")),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_dialled_account_id")),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_dialled_line_id")),
        sa.PrimaryKeyConstraint("dialled", name=op.f("pk_dialled")),
    )
    op.create_index(op.f("ix_dialled_account_id"), "dialled", ["account_id"], unique=False)
    op.create_index(op.f("ix_dialled_line_id"), "dialled", ["line_id"], unique=False)
    op.create_table(
        "line_members",
        sa.Column("line_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_line_members_account_id")),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_line_members_line_id")),
        sa.PrimaryKeyConstraint("line_id", "account_id", name=op.f("pk_line_members")),
    )
    op.create_index(op.f("ix_line_members_account_id"), "line_members", ["account_id"], unique=False)
    op.create_table(
        "recording_peers",
        sa.Column("recording_id", sa.String(), nullable=False),
        sa.Column("channel", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["recording_id"], ["recordings.id"], name=op.f("fk_recording_peers_recording_id")),
        sa.PrimaryKeyConstraint("recording_id", "channel", "digest", name=op.f("pk_recording_peers")),
    )
    op.create_index(op.f("ix_recording_peers_digest"), "recording_peers", ["digest"], unique=False)

    logs = sa.table("ledger_logs", sa.column("log", sa.String()), sa.column("state", sa.Text()))
    op.bulk_insert(logs, [{"log": log, "state": ""} for log in ("access", "consent", "erasure")])
