"""Tables of texts in and out. See `storage.tables`, which has them all.

What was sent and what was received are two stores with two rights. A text that waits to be sent is sealed so that the
daemon opens it (`queued_sealed`) and loses that the moment the network has it; what is kept then, and whatever comes
in, is sealed to the readers of its inbox.
"""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, LargeBinary, String, Table

from storage.table_metadata import metadata
from storage.types import Instant, Json

# --- who writes, who reads ---------------------------------------------------------------------------------------

# Its keys have the purposes "inbox.<name>" and "inbox.<name>.sent": who may read is in reader_rights.
inboxes = Table(
    "inboxes",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("kind", String, nullable=False),  # team, person, sealed
    Column("account_id", String, ForeignKey("accounts.id"), index=True),  # of a person's: whose phones get a copy
    Column("language", String, nullable=False),
    Column("away_sealed", LargeBinary),  # the out-of-office answer, and until when: JSON
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

inbox_members = Table(
    "inbox_members",
    metadata,
    Column("inbox_id", String, ForeignKey("inboxes.id"), primary_key=True),
    Column("person_id", String, ForeignKey("people.id"), primary_key=True, index=True),
    Column("sends", Boolean, nullable=False),
    Column("sees_sent", Boolean, nullable=False),
    Column("granted_at", Instant, nullable=False),
)

# Addresses that texts may be sent from, each of one inbox.
sms_senders = Table(
    "sms_senders",
    metadata,
    Column("id", String, primary_key=True),
    Column("inbox_id", String, ForeignKey("inboxes.id"), nullable=False, index=True),
    Column("address_sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("kind", String, nullable=False),  # number, short, name
    Column("classes", Json, nullable=False),  # of messages that it may send
    Column("stop_code", String),  # where STOP is sent to, if not to the sender itself: "36180"
    Column("carriers", Json, nullable=False),  # names of carriers that know it; none: all
    Column("approved_by", String, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("disabled_at", Instant),
)

# --- sent --------------------------------------------------------------------------------------------------------

sms_sent = Table(
    "sms_sent",
    metadata,
    Column("id", String, primary_key=True),
    Column("inbox_id", String, ForeignKey("inboxes.id"), nullable=False, index=True),
    Column("sender_id", String, ForeignKey("sms_senders.id"), nullable=False),
    Column("author_id", String, nullable=False, index=True),  # person, account, "system"
    Column("campaign_id", String, index=True),
    Column("conversation_id", String, index=True),
    Column("message_class", String, nullable=False),
    Column("purpose", String, nullable=False),  # pack
    Column("legal_basis", String, nullable=False),
    Column("evidence", String, nullable=False),  # id of the consent or reference that it rests on, or ""
    Column("recipient_sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("state", String, nullable=False),
    Column("why", String, nullable=False),
    Column("coding", String, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("reference", Integer, nullable=False),
    Column("cost_microeuros", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
    Column("due_at", Instant, nullable=False),
    Column("valid_until", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("one_time", Boolean, nullable=False),  # its text is never kept
    Column("queued_sealed", LargeBinary),
    Column("body_sealed", LargeBinary),
    Column("key_id", String, ForeignKey("sms_keys.id"), index=True),
    Column("content_until", Instant, index=True),  # when the text goes; the rest stays longer. Null: there is none
    Column("expires_at", Instant, nullable=False, index=True),
    Index(None, "digest", "created_at"),
    Index(None, "state", "due_at"),
)

sms_parts = Table(
    "sms_parts",
    metadata,
    Column("message_id", String, ForeignKey("sms_sent.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("state", String, nullable=False),
    Column("carrier", String),
    Column("network_id", String),  # the message id that the network gave
    Column("code", String),  # what the network said last, in its own words
    Column("handed_at", Instant),
    Column("accepted_at", Instant),
    Column("done_at", Instant),
    Index(None, "carrier", "network_id"),
)

# What the columns of a message do not tell: other carriers that were tried, doubts and how they were settled.
sms_events = Table(
    "sms_events",
    metadata,
    Column("id", String, primary_key=True),
    Column("about", String, nullable=False, index=True),  # id of a message, conversation or campaign
    Column("at", Instant, nullable=False),
    Column("what", String, nullable=False),
    Column("part", Integer),
    Column("actor_id", String),
    Column("detail", String, nullable=False),  # codes; never words of a person
    Index(None, "actor_id", "at"),
)

# Keys of the texts that were sent: one for an inbox and some hours, wrapped to the inbox's key of the week.
sms_keys = Table(
    "sms_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("purpose", String, nullable=False),
    Column("kek_id", String, ForeignKey("keks.id"), nullable=False, index=True),
    Column("wrap", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False, index=True),
)

# Receipts that came before the answer that names their message, or of which nobody knows any.
sms_receipts = Table(
    "sms_receipts",
    metadata,
    Column("id", String, primary_key=True),
    Column("carrier", String, nullable=False),
    Column("network_id", String, nullable=False),
    Column("delivery", String, nullable=False),
    Column("code", String, nullable=False),
    Column("at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
    Index(None, "carrier", "network_id"),
)

# --- received ----------------------------------------------------------------------------------------------------

sms_received = Table(
    "sms_received",
    metadata,
    Column("id", String, primary_key=True),
    Column("inbox_id", String, ForeignKey("inboxes.id"), nullable=False),
    Column("sender_id", String, ForeignKey("sms_senders.id")),  # our address that it came to, where it is one of ours
    Column("conversation_id", String, index=True),
    Column("campaign_id", String, index=True),
    Column("in_reply_to", String, index=True),
    Column("carrier", String, nullable=False),
    Column("addresses_sealed", LargeBinary, nullable=False),  # from and to: JSON
    Column("digest", LargeBinary, nullable=False),  # of whoever wrote
    Column("body_sealed", LargeBinary, nullable=False),  # to the readers of the inbox
    Column("kek_id", String, ForeignKey("keks.id"), nullable=False, index=True),
    Column("purpose", String, nullable=False),
    Column("legal_basis", String, nullable=False),
    Column("stop", String, nullable=False),  # what it says of being contacted
    Column("sorting", String, nullable=False),  # why it was set aside, or ""
    Column("rule", String, nullable=False),
    Column("state", String, nullable=False),  # new, read, handled, aside, held
    Column("parts", Integer, nullable=False),
    Column("missing", Integer, nullable=False),
    Column("received_at", Instant, nullable=False),
    Column("sent_at", Instant),
    Column("handled_by", String, index=True),
    Column("handled_at", Instant),
    Column("expires_at", Instant, nullable=False, index=True),
    Index(None, "inbox_id", "received_at"),
    Index(None, "digest", "received_at"),
)

# What came in lately: by which the same delivery is known when it comes once more. Gone after a day.
sms_deliveries = Table(
    "sms_deliveries",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True),
    Column("delivery", String, nullable=False),
    Column("link", String, nullable=False),
    Column("at", Instant, nullable=False, index=True),
)

# Parts of long texts that wait for the others.
sms_fragments = Table(
    "sms_fragments",
    metadata,
    Column("whole", LargeBinary, primary_key=True),  # keyed: carrier, both addresses, reference, total
    Column("number", Integer, primary_key=True),
    Column("part_sealed", LargeBinary, nullable=False),
    Column("at", Instant, nullable=False, index=True),
)

# Copies for a person's phones, until one of them has taken it.
sms_waiting = Table(
    "sms_waiting",
    metadata,
    Column("id", String, primary_key=True),
    Column("account_id", String, ForeignKey("accounts.id"), nullable=False, index=True),
    Column("text_sealed", LargeBinary, nullable=False),
    Column("created_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

# What a text asks for that a person has to do within a month (GDPR 12(3)).
sms_requests = Table(
    "sms_requests",
    metadata,
    Column("id", String, primary_key=True),
    Column("kind", String, nullable=False),  # rectification, erasure, access, objection
    Column("received_id", String, nullable=False, index=True),
    Column("inbox_id", String, ForeignKey("inboxes.id"), nullable=False),
    Column("opened_at", Instant, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("closed_by", String),
    Column("expires_at", Instant, nullable=False, index=True),
)

# --- conversations and campaigns ---------------------------------------------------------------------------------

conversations = Table(
    "conversations",
    metadata,
    Column("id", String, primary_key=True),
    Column("inbox_id", String, ForeignKey("inboxes.id"), nullable=False, index=True),
    Column("sender_id", String, ForeignKey("sms_senders.id"), nullable=False),
    Column("remote_sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("assigned_to", String, index=True),
    Column("opened_at", Instant, nullable=False),
    Column("last_at", Instant, nullable=False),
    Column("closed_at", Instant),
    Column("expires_at", Instant, nullable=False, index=True),
    Index(None, "digest", "sender_id"),
)

campaigns = Table(
    "campaigns",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("inbox_id", String, ForeignKey("inboxes.id"), nullable=False, index=True),
    Column("sender_id", String, ForeignKey("sms_senders.id"), nullable=False),
    Column("message_class", String, nullable=False),
    Column("sector", String, nullable=False),  # what consents have to be for
    Column("target", String, nullable=False),
    Column("language", String, nullable=False),
    Column("template_sealed", LargeBinary, nullable=False),
    Column("state", String, nullable=False, index=True),
    Column("why", String, nullable=False),
    Column("per_minute", Integer, nullable=False),
    Column("starts_at", Instant, nullable=False),
    Column("ends_at", Instant, nullable=False),
    Column("created_by", String, nullable=False),
    Column("approved_by", String),
    Column("approved_sha256", String),  # of what was approved: template, sender, class, recipients
    Column("created_at", Instant, nullable=False),
    Column("updated_at", Instant, nullable=False),
    Column("expires_at", Instant, nullable=False, index=True),
)

campaign_recipients = Table(
    "campaign_recipients",
    metadata,
    Column("campaign_id", String, ForeignKey("campaigns.id"), primary_key=True),
    Column("line", Integer, primary_key=True),  # of the list that was imported
    Column("number_sealed", LargeBinary, nullable=False),
    Column("digest", LargeBinary, nullable=False),
    Column("fields_sealed", LargeBinary, nullable=False),
    Column("state", String, nullable=False),  # waiting, later, taken, refused, cancelled
    Column("why", String, nullable=False),
    Column("due_at", Instant, nullable=False),
    Column("message_id", String, index=True),
    Index(None, "campaign_id", "state", "due_at"),
    Index(None, "campaign_id", "digest", unique=True),
)
