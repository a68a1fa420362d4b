"""Tables of who may be contacted, of the company's policy, and of alerts. See `storage.tables`, which has them all."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from storage.table_metadata import metadata
from storage.types import Instant, Json

# --- alerts ------------------------------------------------------------------------------------------------------

# One row for a kind and what it is about (an opaque id or ""), however often it happens.
alerts = Table(
    "alerts",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False),
    Column("severity", String, nullable=False),
    Column("state", String, nullable=False),
    Column("count", BigInteger, nullable=False),
    Column("first_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("lasts", Boolean, nullable=False),  # a condition that still holds
    Column("episode", Integer, nullable=False),  # 1, and one more each time that it is opened again
    Column("verdict", String),
    Column("judged_by", String),
    Column("judged_at", Instant),
    Column("note_sealed", LargeBinary),
    Column("waiting", Json, nullable=False),  # channels that have not taken this episode yet
    Column("tries", Integer, nullable=False),
    Column("due_at", Instant, index=True),  # when they are tried again
    Column("kept_until", Instant, nullable=False, index=True),
    UniqueConstraint("kind", "subject"),
)

# Up to which entry a log was read for alerts.
alert_cursors = Table(
    "alert_cursors",
    metadata,
    Column("log", String, primary_key=True),
    Column("seq", BigInteger, nullable=False),
)

# How much each person was shown in clear on the newest day on which they were: a count, no number.
clear_looks = Table(
    "clear_looks",
    metadata,
    Column("actor_id", String, primary_key=True),
    Column("day", String, nullable=False),
    Column("count", BigInteger, nullable=False),
)

# What a lock has taken away, and an unlock gives back: the person's own access, and these accounts.
person_locks = Table(
    "person_locks",
    metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("person", Boolean, nullable=False),
    Column("accounts", Json, nullable=False),
)

# What the company has changed of the shipped roles; "none": the role has that right no more.
role_rights = Table(
    "role_rights",
    metadata,
    Column("role", String, primary_key=True),
    Column("granted", String, primary_key=True),  # a right, such as "calls.read"
    Column("reach", String, nullable=False),
    Column("changed_at", Instant, nullable=False),
)

# --- permission to contact ----------------------------------------------------------------------------------------

# GDPR Art. 7(1): who has agreed to be contacted, how, to what. Each row is kept until `kept_until`.
contact_consents = Table(
    "contact_consents",
    metadata,
    Column("id", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False, index=True),
    Column("number_sealed", LargeBinary, nullable=False),
    Column("channel", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("act", String, nullable=False),
    Column("text_id", String),
    Column("text_version", String),
    Column("text_sha256", String),
    Column("language", String),
    Column("given_at", Instant, nullable=False),
    Column("details_sealed", LargeBinary, nullable=False),  # collector and source, as JSON
    Column("out_of_hours", Boolean, nullable=False),
    Column("expires_at", Instant, nullable=False),
    Column("withdrawn_at", Instant),
    Column("withdrawn_by", String),
    Column("legal_basis", String, nullable=False),
    Column("kept_until", Instant, nullable=False, index=True),
)

# What stands beside consent: contracts that run, numbers of professionals.
contact_references = Table(
    "contact_references",
    metadata,
    Column("id", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False, index=True),
    Column("number_sealed", LargeBinary, nullable=False),
    Column("kind", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("reference_sealed", LargeBinary, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant, nullable=False),
    Column("legal_basis", String, nullable=False),
    Column("kept_until", Instant, nullable=False, index=True),
)

# Who is not to be contacted: no number, not even sealed, and an index key of its own (`contact_keys`).
contact_suppressions = Table(
    "contact_suppressions",
    metadata,
    Column("id", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False, index=True),
    Column("channel", String, nullable=False),  # "*": all
    Column("reason", String, nullable=False),
    Column("source", String, nullable=False),
    Column("since", Instant, nullable=False),
    Column("until", Instant),
    Column("purpose", String, nullable=False),
    Column("legal_basis", String, nullable=False),
    Column("kept_until", Instant, nullable=False, index=True),  # looked at then, not dropped
)

contact_keys = Table(
    "contact_keys",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# Calls and attempts on behalf of canvassing lines, for as long as they count.
contact_attempts = Table(
    "contact_attempts",
    metadata,
    Column("id", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False, index=True),
    Column("line_id", String, ForeignKey("lines.id"), nullable=False, index=True),
    Column("channel", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("outcome", String, nullable=False),
    Column("evidence", String, nullable=False),  # id of a consent or reference, or ""
    Column("purpose", String, nullable=False),
    Column("legal_basis", String, nullable=False),
    Column("kept_until", Instant, nullable=False, index=True),
)

# --- the policy ---------------------------------------------------------------------------------------------------

# Versions of the company's policy: the canonical bytes that are hashed and approved. No name, no number.
policies = Table(
    "policies",
    metadata,
    Column("id", String, primary_key=True),
    Column("number", Integer, nullable=False, unique=True),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("discarded_at", Instant),
)

policy_approvals = Table(
    "policy_approvals",
    metadata,
    Column("policy_id", String, ForeignKey("policies.id"), primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("at", Instant, nullable=False),
    Column("sha256", String, nullable=False),  # of the body that was approved
    Column("needed", Integer, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("ledger_seq", BigInteger, nullable=False),
)

# A company's own words for a prompt, and recordings of them: every version that there ever was. No name, no number.
prompt_versions = Table(
    "prompt_versions",
    metadata,
    Column("id", String, primary_key=True),
    Column("prompt_id", String, nullable=False),
    Column("language", String, nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String, nullable=False),  # words, recording, or shipped: back to the text of the pack
    Column("words", Text, nullable=False),  # with placeholders; of a recording: what is said in it
    Column("audio", LargeBinary),  # of a recording: the WAV file that is played
    Column("filled", Json, nullable=False),  # of a recording: what it says in place of placeholders
    Column("sha256", String, nullable=False),  # of the words, or of the audio
    Column("author", String, nullable=False),  # what the ledger calls them
    Column("created_at", Instant, nullable=False),
    Column("in_force_at", Instant),
    Column("approved_by", String),  # who put it in force
    Column("signature", LargeBinary),
    Column("discarded_at", Instant),
    UniqueConstraint("prompt_id", "language", "number"),
)

# What was done before recording began. Never changed, only withdrawn.
policy_preconditions = Table(
    "policy_preconditions",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("pack", String, nullable=False),
    Column("line_id", String, ForeignKey("lines.id")),
    Column("about_sealed", LargeBinary, nullable=False),  # evidence and who did it, as JSON
    Column("done_on", String, nullable=False),
    Column("entered_at", Instant, nullable=False),
    Column("entered_by", String, nullable=False),
    Column("withdrawn_at", Instant),
    Column("withdrawn_by", String),
)

# Of sampled lines: conversations held and recorded, by day. Nothing nominative.
policy_samples = Table(
    "policy_samples",
    metadata,
    Column("subject", String, primary_key=True),  # id of a line, or "direct"
    Column("day", String, primary_key=True),
    Column("held", Integer, nullable=False),
    Column("taken", Integer, nullable=False),
)
