"""Tables of signing in. See `storage.tables`, which has them all.

Whatever opens something is here as its SHA-256 alone: it is random, so nothing is won by guessing.
"""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, String, Table

from storage.table_metadata import metadata
from storage.types import Instant, Json

# What a password is checked against: Argon2id with its parameters, sealed besides.
passwords = Table(
    "passwords",
    metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("verifier_sealed", LargeBinary, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

# Not that of a reader (`reader_totp`): this one lets into the portal, and opens no recording.
sign_in_totp = Table(
    "sign_in_totp",
    metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("last_step", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
)

passkeys = Table(
    "passkeys",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("name_sealed", LargeBinary, nullable=False),
    Column("credential_sealed", LargeBinary, nullable=False),  # attested credential data (WebAuthn 6.5.1)
    Column("sign_count", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("last_used_at", Instant),
)

recovery_codes = Table(
    "recovery_codes",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("code_sha256", LargeBinary, nullable=False),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("source_sealed", LargeBinary, nullable=False),
    Column("browser", String, nullable=False),  # "Firefox, Linux"
    Column("created_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("fresh_until", Instant),
)

# Browsers that somebody has signed in with: they are not held up by what others try.
known_browsers = Table(
    "known_browsers",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("expires_at", Instant, nullable=False, index=True),
)

# What was begun and waits for its second half: a sign-in, a first sign-in, a factor that is being added.
sign_in_challenges = Table(
    "sign_in_challenges",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("kind", String, nullable=False),
    Column("token_sha256", LargeBinary, unique=True),  # none where a session is asked instead
    Column("session_id", String, index=True),
    Column("invitation_id", String, index=True),
    Column("browser_id", String),
    Column("browser", String, nullable=False),
    Column("held_sealed", LargeBinary, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

invitations = Table(
    "invitations",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

api_tokens = Table(
    "api_tokens",
    metadata,
    Column("id", String, primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), nullable=False, index=True),
    Column("token_sha256", LargeBinary, nullable=False, unique=True),
    Column("name_sealed", LargeBinary, nullable=False),
    Column("rights", Json, nullable=False),  # right -> own, team or all
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Column("last_used_at", Instant),
)

# What programs were answered that asked with an idempotency key. `status` null: begun, and nobody knows more.
api_answers = Table(
    "api_answers",
    metadata,
    Column("id", String, primary_key=True),
    Column("request", String, nullable=False),
    Column("status", Integer),
    Column("answer_sealed", LargeBinary),
    Column("at", Instant, nullable=False),
    Column("kept_until", Instant, nullable=False, index=True),
)
