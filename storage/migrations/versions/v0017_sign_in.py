"""Signing in: passwords, second factors, sessions, challenges, invitations, tokens of the interface for programs."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def _text(name: str, *, null: bool = False) -> "sa.Column[str]":
    return sa.Column(name, sa.String(), nullable=null)


def _bytes(name: str, *, null: bool = False) -> "sa.Column[bytes]":
    return sa.Column(name, sa.LargeBinary(), nullable=null)


def _moment(name: str, *, null: bool = False) -> "sa.Column[int]":
    return sa.Column(name, sa.BigInteger(), nullable=null)


def _person(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f(f"fk_{table}_person_id"))


def _made(table: str, *columns: sa.schema.SchemaItem, key: str = "id", once: str = "", indexed: str = "") -> None:
    constraints: list[sa.Constraint] = [
        _person(table),
        sa.PrimaryKeyConstraint(key, name=op.f(f"pk_{table}")),
    ]
    if once:
        constraints.append(sa.UniqueConstraint(once, name=op.f(f"uq_{table}_{once}")))
    op.create_table(table, *columns, *constraints)
    for column in indexed.split():
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def upgrade() -> None:
    _made("passwords", _text("person_id"), _bytes("verifier_sealed"), _moment("changed_at"), key="person_id")
    _made("sign_in_totp", _text("person_id"), _bytes("secret_sealed"), _moment("last_step"), _moment("created_at"),
          key="person_id")  # fmt: skip
    _made(
        "passkeys",
        *(_text("id"), _text("person_id"), _bytes("name_sealed"), _bytes("credential_sealed")),
        *(_moment("sign_count"), _moment("created_at"), _moment("last_used_at", null=True)),
        indexed="person_id",
    )
    _made("recovery_codes", _text("id"), _text("person_id"), _bytes("code_sha256"), indexed="person_id")
    _made(
        "sessions",
        *(_text("id"), _text("person_id"), _bytes("token_sha256"), _bytes("source_sealed"), _text("browser")),
        *(_moment("created_at"), _moment("last_seen_at"), _moment("expires_at"), _moment("fresh_until", null=True)),
        once="token_sha256",
        indexed="person_id expires_at",
    )
    _made("known_browsers", _text("id"), _text("person_id"), _bytes("token_sha256"), _moment("expires_at"),
          once="token_sha256", indexed="person_id expires_at")  # fmt: skip
    _made(
        "sign_in_challenges",
        *(_text("id"), _text("person_id"), _text("kind"), _bytes("token_sha256", null=True)),
        *(_text("session_id", null=True), _text("invitation_id", null=True), _text("browser_id", null=True)),
        *(_text("browser"), _bytes("held_sealed"), sa.Column("tries", sa.Integer(), nullable=False)),
        *(_moment("created_at"), _moment("expires_at")),
        once="token_sha256",
        indexed="person_id session_id invitation_id expires_at",
    )
    _made("invitations", _text("id"), _text("person_id"), _bytes("token_sha256"), _moment("created_at"),
          _moment("expires_at"), once="token_sha256", indexed="person_id expires_at")  # fmt: skip
    _made(
        "api_tokens",
        *(_text("id"), _text("person_id"), _bytes("token_sha256"), _bytes("name_sealed")),
        sa.Column("rights", sa.Text(), nullable=False),
        *(_moment("created_at"), _moment("expires_at"), _moment("last_used_at", null=True)),
        once="token_sha256",
        indexed="person_id expires_at",
    )
