"""Every table. Columns that end in `_sealed` hold `FieldKeys.seal` output; `digest` columns hold `blind_index` output.

The database is made by the migrations, never from this module; a test compares the two.
Nothing here holds a name, a number or a secret in clear: what must be searched is an opaque id, an internal
identifier (login, account name, extension, line number) or a keyed digest.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from storage.table_metadata import metadata
from storage.tables_governance import (
    alert_cursors,
    alerts,
    clear_looks,
    contact_attempts,
    contact_consents,
    contact_keys,
    contact_references,
    contact_suppressions,
    person_locks,
    policies,
    policy_approvals,
    policy_preconditions,
    policy_samples,
    prompt_versions,
    role_rights,
)
from storage.tables_listening import listening_requests, recording_notes, recording_openings
from storage.tables_mail import mail_addresses, mail_logins, mail_orders
from storage.tables_sign_in import (
    api_answers,
    api_tokens,
    invitations,
    known_browsers,
    passkeys,
    passwords,
    recovery_codes,
    sessions,
    sign_in_challenges,
    sign_in_totp,
)
from storage.tables_texts import (
    campaign_recipients,
    campaigns,
    conversations,
    inbox_members,
    inboxes,
    sms_deliveries,
    sms_events,
    sms_fragments,
    sms_keys,
    sms_parts,
    sms_receipts,
    sms_received,
    sms_requests,
    sms_senders,
    sms_sent,
    sms_waiting,
)
from storage.types import Instant, Json

__all__ = [
    "access_reasons",
    "accounts",
    "alert_cursors",
    "alerts",
    "api_answers",
    "api_tokens",
    "call_diagnoses",
    "call_month_peers",
    "call_peers",
    "call_records",
    "call_settings",
    "call_totals",
    "campaign_recipients",
    "campaigns",
    "clear_looks",
    "contact_attempts",
    "contact_consents",
    "contact_keys",
    "contact_references",
    "contact_suppressions",
    "conversations",
    "destructions",
    "devices",
    "dialled",
    "emergency_calls",
    "escrow_key",
    "free_key_slots",
    "held_keys",
    "hold_targets",
    "holds",
    "inbox_members",
    "inboxes",
    "index_keys",
    "invitations",
    "kek_wraps",
    "keks",
    "key_slots",
    "known_browsers",
    "ledger_entries",
    "ledger_logs",
    "ledger_segments",
    "limits",
    "line_members",
    "lines",
    "listening_requests",
    "mail_addresses",
    "mail_logins",
    "mail_orders",
    "meta",
    "metadata",
    "month_keys",
    "orphan_looks",
    "orphans",
    "owned_numbers",
    "passkeys",
    "passwords",
    "people",
    "person_locks",
    "policies",
    "policy_approvals",
    "policy_preconditions",
    "policy_samples",
    "prompt_versions",
    "reader_keys",
    "reader_rights",
    "reader_totp",
    "rec_keys",
    "receipts",
    "recording_notes",
    "recording_openings",
    "recording_peers",
    "recordings",
    "recovery_codes",
    "role_rights",
    "sessions",
    "sign_in_challenges",
    "sign_in_totp",
    "sms_deliveries",
    "sms_events",
    "sms_fragments",
    "sms_keys",
    "sms_parts",
    "sms_receipts",
    "sms_received",
    "sms_requests",
    "sms_senders",
    "sms_sent",
    "sms_waiting",
    "sweeps",
    "trunks",
    "usage",
]

# One row per fact about the database itself: `field_key_check` (sealed), to know a wrong key at open.
meta = Table("meta", metadata, Column("name", String, primary_key=True), Column("value", LargeBinary, nullable=False))

# --- the directory -----------------------------------------------------------------------------------------------

people = Table(
    "people",
    metadata,
    Column("id", String, primary_key=True),
    Column("login", String, nullable=False, unique=True),
    Column("display_name_sealed", LargeBinary, nullable=False),
    Column("roles", Json, nullable=False),  # sorted list of roles
    Column("language", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

accounts = Table(
    "accounts",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),  # SIP user part
    Column("extension", String, nullable=False, unique=True),
    Column("person_id", String, ForeignKey("people.id"), index=True),
    Column("display_name_sealed", LargeBinary, nullable=False),
    Column("country", String, nullable=False),
    Column("language", String, nullable=False),
    Column("metadata_class", String),
    Column("created_at", Instant, nullable=False),
    Column("given_at", Instant),  # since when it belongs to whom it belongs now; null: since it was made
    Column("disabled_at", Instant),
)

devices = Table(
    "devices",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", String, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("label_sealed", LargeBinary, nullable=False),
    Column("auth_user", String, nullable=False, unique=True),
    Column("ha1_sealed", LargeBinary),  # gone when revoked
    Column("created_at", Instant, nullable=False),
    Column("revoked_at", Instant),
)

lines = Table(
    "lines",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("number", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),
    Column("pack", String, nullable=False),
    Column("consent_mode", String),
    Column("metadata_class", String, nullable=False),
    Column("language", String),
    Column("statute", String),
    Column("ask_staff", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
    Column("strategy", String, nullable=False, server_default="simultaneous"),
    Column("member_ring_s", Integer, nullable=False, server_default="20"),
    Column("canvassing", String),  # sector of contact_rules.toml; null: the line canvasses nobody
    Column("canvassing_target", String),
)

line_members = Table(
    "line_members",
    metadata,
    Column("line_id", String, ForeignKey("lines.id"), primary_key=True),
    Column("account_id", String, ForeignKey("accounts.id"), primary_key=True, index=True),
    Column("position", Integer, nullable=False),
)

# Whatever can be dialled, once: account names, extensions and line numbers share one number plan.
dialled = Table(
    "dialled",
    metadata,
    Column("dialled", String, primary_key=True),
    Column("account_id", String, ForeignKey("accounts.id"), index=True),
    Column("line_id", String, ForeignKey("lines.id"), index=True),
    CheckConstraint("(account_id IS NULL) <> (line_id IS NULL)", name="one_owner"),
)

# --- the outside world -------------------------------------------------------------------------------------------

trunks = Table(
    "trunks",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    # Host, domain, user (often a number), realm, sources and main number, as JSON: whom the company telephones through.
    Column("access_sealed", LargeBinary, nullable=False),
    Column("ha1_sealed", LargeBinary),
    Column("port", Integer, nullable=False),
    Column("transport", String, nullable=False),
    Column("srtp", Boolean, nullable=False),
    Column("ipv6", Boolean, nullable=False),
    Column("register", Boolean, nullable=False),
    Column("preference", Integer, nullable=False),
    Column("weight", Integer, nullable=False),
    Column("max_channels", Integer, nullable=False),
    Column("international_format", String, nullable=False),
    Column("enabled", Boolean, nullable=False),
    Column("created_at", Instant, nullable=False),
)

owned_numbers = Table(
    "owned_numbers",
    metadata,
    Column("id", String, primary_key=True),
    Column("number_sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("account_id", String, ForeignKey("accounts.id"), index=True),
    Column("line_id", String, ForeignKey("lines.id"), index=True),
    Column("trunk_id", String, ForeignKey("trunks.id"), index=True),
    Column("shared", Boolean, nullable=False),
    CheckConstraint("account_id IS NULL OR line_id IS NULL", name="one_place"),
)

call_settings = Table(
    "call_settings",
    metadata,
    Column("account_id", String, ForeignKey("accounts.id"), primary_key=True),
    Column("numbers_sealed", LargeBinary, nullable=False),  # forwards and the presented number, as JSON
    Column("no_answer_s", Integer, nullable=False),
    Column("dnd", Boolean, nullable=False),
    Column("hide_number", Boolean, nullable=False),
    Column("call_waiting", Boolean, nullable=False),
)

limits = Table(
    "limits",
    metadata,
    Column("owner", String, primary_key=True),  # "account:<id>", "trunk:<id>", "default"
    Column("international", Boolean),
    Column("premium", Boolean),
    Column("countries", Json, nullable=False),
    Column("minutes_per_day", Integer),
    Column("minutes_per_month", Integer),
    Column("cents_per_day", Integer),
    Column("cents_per_month", Integer),
    Column("max_calls", Integer),
)

# What an owner's calls have come to, by day: sums, no call and no number.
usage = Table(
    "usage",
    metadata,
    Column("owner", String, primary_key=True),
    Column("day", String, primary_key=True),
    Column("seconds", BigInteger, nullable=False),
    Column("cost_microeuros", BigInteger, nullable=False),
    Column("calls", Integer, nullable=False),
)

# No foreign key to the trunk: what happened outlives it.
emergency_calls = Table(
    "emergency_calls",
    metadata,
    Column("id", String, primary_key=True),
    Column("at", Instant, nullable=False, index=True),
    Column("account_id", String, ForeignKey("accounts.id"), index=True),
    Column("number", String, nullable=False),  # the service's: "112"
    Column("trunk_id", String),
    Column("drill", Boolean, nullable=False),
    Column("outcome", String, nullable=False),
    Column("reported_to", Json, nullable=False),
    Column("presented_digest", LargeBinary, index=True),  # of the number that the service calls back
)

# --- readers and keys --------------------------------------------------------------------------------------------

reader_keys = Table(
    "reader_keys",
    metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("alg", String, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("secret", LargeBinary, nullable=False),  # already sealed by the reader's passphrase
    Column("created_at", Instant, nullable=False),
)

reader_rights = Table(
    "reader_rights",
    metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("purpose", String, primary_key=True),
    Column("granted_at", Instant, nullable=False),
    Column("granted_by", String, nullable=False),
)

reader_totp = Table(
    "reader_totp",
    metadata,
    Column("person_id", String, ForeignKey("people.id"), primary_key=True),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("last_step", BigInteger, nullable=False),  # highest TOTP step ever accepted; -1 at first
    Column("failures", Integer, nullable=False),  # since the last success
    Column("locked_until", Instant),
)

escrow_key = Table(
    "escrow_key",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("alg", String, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    CheckConstraint("id = 1", name="only_one"),
)

keks = Table(
    "keks",
    metadata,
    Column("id", String, primary_key=True),
    Column("purpose", String, nullable=False),
    Column("period", String, nullable=False),  # "2026-W47.1": ISO week and generation
    Column("alg", String, nullable=False),
    Column("public", LargeBinary, nullable=False),
    Column("signature", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("not_after", Instant, nullable=False),
    Column("destroyed_at", Instant),
    UniqueConstraint("purpose", "period"),
)

kek_wraps = Table(
    "kek_wraps",
    metadata,
    Column("kek_id", String, ForeignKey("keks.id"), primary_key=True),
    Column("reader_id", String, primary_key=True, index=True),  # person id or "escrow"
    Column("alg", String, nullable=False),
    Column("blob", LargeBinary, nullable=False),
)

# The wraps of the recordings' keys, each in a place of one size (`storage.key_slots`).
key_slots = Table(
    "key_slots",
    metadata,
    Column("slot", Integer, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

free_key_slots = Table(
    "free_key_slots",
    metadata,
    Column("slot", Integer, ForeignKey("key_slots.slot"), primary_key=True, autoincrement=False),
)

# A second wrap of a recording's key, for as long as a legal hold stands: it outlives the week's key.
held_keys = Table(
    "held_keys",
    metadata,
    Column("rec_id", String, primary_key=True),
    Column("hold_id", String, primary_key=True, index=True),
    Column("kek_id", String, ForeignKey("keks.id"), nullable=False, index=True),
    Column("alg", String, nullable=False),
    Column("slot", Integer, ForeignKey("key_slots.slot"), nullable=False, unique=True),
)

rec_keys = Table(
    "rec_keys",
    metadata,
    Column("rec_id", String, primary_key=True),
    Column("kek_id", String, ForeignKey("keks.id"), nullable=False, index=True),
    Column("alg", String, nullable=False),
    Column("slot", Integer, ForeignKey("key_slots.slot"), nullable=False, unique=True),
)

# --- what happened -----------------------------------------------------------------------------------------------

call_records = Table(
    "call_records",
    metadata,
    Column("id", String, primary_key=True),
    Column("line_id", String, ForeignKey("lines.id"), index=True),
    Column("metadata_class", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("legal_basis", String, nullable=False),
    Column("at", Instant, nullable=False, index=True),  # start, as exact as the class allows
    Column("expires_at", Instant, nullable=False, index=True),
    Column("fields_sealed", LargeBinary, nullable=False),
    Column("numbers_sealed", LargeBinary, nullable=False),
    Column("recording_id", String, index=True),
    Column("ages_at", Instant),  # when the next of its fields becomes coarser; null: none does
    Index(None, "ages_at", "expires_at"),
)

call_peers = Table(
    "call_peers",
    metadata,
    Column("call_id", String, ForeignKey("call_records.id"), primary_key=True),
    Column("role", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Index(None, "digest", "call_id"),
)

# Instead of the above once the numbers have aged: hashes under the key of the call's month.
call_month_peers = Table(
    "call_month_peers",
    metadata,
    Column("call_id", String, ForeignKey("call_records.id"), primary_key=True),
    Column("role", String, primary_key=True),
    Column("digest", LargeBinary, nullable=False),
    Index(None, "digest", "call_id"),
)

month_keys = Table(
    "month_keys",
    metadata,
    Column("month", String, primary_key=True),  # "2026-11", UTC
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# By which numbers are found: random, so that an old one can go, and only sealed by the field key.
index_keys = Table(
    "index_keys",
    metadata,
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("secret_sealed", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
)

# Of every call, whatever its class: how many, how long, by day. Nothing nominative.
call_totals = Table(
    "call_totals",
    metadata,
    Column("day", String, primary_key=True),
    Column("direction", String, primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("minutes", Integer, nullable=False),
)

receipts = Table(
    "receipts",
    metadata,
    Column("id", String, primary_key=True),
    Column("body", Text, nullable=False),
    Column("at", Instant, nullable=False, index=True),
)

recordings = Table(
    "recordings",
    metadata,
    Column("id", String, primary_key=True),
    Column("state", String, nullable=False),
    Column("started_at", Instant, nullable=False, index=True),
    Column("expires_at", Instant, nullable=False),
    Column("ended_at", Instant),
    Column("destroyed_at", Instant),
    # All of the following is gone once the recording is destroyed.
    Column("call_id", String, index=True),
    Column("purpose", String),
    Column("pack_version", String),
    Column("policy_version", Integer),  # null: recorded before any policy was in force
    Column("legal_basis", String),
    Column("codec", String),
    Column("rate_hz", Integer),
    Column("channels", Integer),
    Column("duration_ms", BigInteger),
    Column("size_bytes", BigInteger),
    Column("sha256", String),
    Column("kek_id", String, ForeignKey("keks.id"), index=True),
    Column("parties_sealed", LargeBinary),
    Column("consent_refs", Json),
    Column("gaps", Json),
    Column("line_id", String, index=True),
    # Of a pack whose period runs from a later event: how long from then on (ISO 8601), and when it happened.
    Column("kept_for", String),
    Column("event_at", Instant),
    Column("objected_at", Instant),  # somebody said no, and a hold kept it: it goes once that is lifted
    Index(None, "state", "expires_at"),
    Index(None, "state", "started_at"),
)

recording_peers = Table(
    "recording_peers",
    metadata,
    Column("recording_id", String, ForeignKey("recordings.id"), primary_key=True),
    Column("channel", Integer, primary_key=True),
    Column("digest", LargeBinary, primary_key=True),
    Index(None, "digest"),
)

# Why somebody looked: free text, hence sealed, and bound to the ledger by its digest.
access_reasons = Table(
    "access_reasons",
    metadata,
    Column("id", String, primary_key=True),
    Column("reason_sealed", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False, index=True),
)

# How a call went (technical facts only), for as many days as the settings say.
call_diagnoses = Table(
    "call_diagnoses",
    metadata,
    Column("call_id", String, primary_key=True),
    Column("at", Instant, nullable=False, index=True),  # as exact as the class of the call allows
    Column("expires_at", Instant, nullable=False, index=True),
    Column("verdict", String, nullable=False),  # the first of them
    Column("mos_centi", Integer),
    Column("facts_sealed", LargeBinary, nullable=False),
)

# --- retention ---------------------------------------------------------------------------------------------------

holds = Table(
    "holds",
    metadata,
    Column("id", String, primary_key=True),
    Column("scope", String, nullable=False),  # recording, call, account, number, line
    Column("about_sealed", LargeBinary, nullable=False),  # case, requester, approver, reason, what it is about: JSON
    Column("created_at", Instant, nullable=False),
    Column("review_at", Instant, nullable=False),
    Column("lifted_at", Instant, index=True),
    # A hold on a line: which, from when, and (excluded) until when.
    Column("line_id", String),
    Column("since", Instant),
    Column("until", Instant),
)

# What a hold lies on: the bytes of an opaque id, or the keyed digest of a number.
hold_targets = Table(
    "hold_targets",
    metadata,
    Column("hold_id", String, ForeignKey("holds.id"), primary_key=True),
    Column("target", LargeBinary, primary_key=True),
    Index(None, "target"),
)

# What is being destroyed: written before the first of its bytes goes, gone with its receipt. Opaque ids only.
destructions = Table(
    "destructions",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("items", Json, nullable=False),  # [[id, pack, created, expires]], times in microseconds
    Column("begun_at", Instant, nullable=False),
    # Of one that somebody has ordered: why (retention.gate.Trigger), who, on which entry of the access log it rests,
    # and which kinds of things stay, as the receipt says it; null: it had expired.
    Column("trigger", String),
    Column("ordered_by", String),
    Column("request_ref", String),
    Column("kept", Json),
)

# What each sweep found due, and what became of it, as counts by kind.
sweeps = Table(
    "sweeps",
    metadata,
    Column("id", String, primary_key=True),
    Column("began_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=False, index=True),
    Column("due", Json, nullable=False),
    Column("destroyed", Json, nullable=False),
    Column("held", Json, nullable=False),
    Column("left", Json, nullable=False),
    Column("problem", String, nullable=False),
)

# What the newest look found that has no owner, no purpose, no expiry, or refers to nothing. `about_sealed`: where it is
# (a file may have been named after somebody); the id is a keyed digest of that, the same at each look.
orphans = Table(
    "orphans",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("about_sealed", LargeBinary, nullable=False),
    Column("first_seen_at", Instant, nullable=False),
    Column("last_seen_at", Instant, nullable=False, index=True),
)

# Each look for orphans: how much was looked at, and how many of each kind were found.
orphan_looks = Table(
    "orphan_looks",
    metadata,
    Column("id", String, primary_key=True),
    Column("began_at", Instant, nullable=False),
    Column("ended_at", Instant, nullable=False, index=True),
    Column("rows", BigInteger, nullable=False),
    Column("files", BigInteger, nullable=False),
    Column("found", Json, nullable=False),
)

# --- the ledger --------------------------------------------------------------------------------------------------

ledger_logs = Table(
    "ledger_logs",
    metadata,
    Column("log", String, primary_key=True),
    Column("state", Text, nullable=False),  # signed note: entries ever appended, hash of the newest head
)

ledger_segments = Table(
    "ledger_segments",
    metadata,
    Column("log", String, primary_key=True),
    Column("day", String, primary_key=True),  # "2026-11-21", UTC
    Column("first_seq", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),  # roots of the perfect subtrees, largest first
    Column("head", Text, nullable=False),  # signed note
    Column("pruned", Text),  # signed note that says when the leaves were dropped
)

ledger_entries = Table(
    "ledger_entries",
    metadata,
    Column("log", String, primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("day", String, nullable=False),
    Column("body", LargeBinary, nullable=False),  # canonical JSON, exactly as it was hashed
    Column("leaf_hash", LargeBinary, nullable=False),  # RFC 9162 §2.1.1: says which entry was altered
    Index(None, "log", "day"),
)
