"""Tables of those who order texts by mail. See `storage.tables`, which has them all."""

from sqlalchemy import Boolean, Column, ForeignKey, LargeBinary, String, Table

from storage.table_metadata import metadata
from storage.types import Instant

# A password for one program or one mail client, revocable alone.
mail_logins = Table(
    "mail_logins",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", String, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("label_sealed", LargeBinary, nullable=False),
    Column("login", String, nullable=False, unique=True),
    Column("verifier_sealed", LargeBinary),  # gone when revoked
    Column("automatic", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

# The sender's addresses that each of them may write; an address belongs to one.
mail_addresses = Table(
    "mail_addresses",
    metadata,
    Column("id", String, primary_key=True),
    Column("login_id", String, ForeignKey("mail_logins.id"), nullable=False, index=True),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("address_sealed", LargeBinary, nullable=False),
)

# Who is told when a text that a mail has ordered fails. `id`: of the text; the row goes before it or after it.
mail_orders = Table(
    "mail_orders",
    metadata,
    Column("id", String, primary_key=True),
    Column("login_id", String, nullable=False, index=True),
    Column("about_sealed", LargeBinary, nullable=False),
    Column("arrived_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)
