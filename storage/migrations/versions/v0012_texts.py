"""Texts in and out: inboxes, what was sent and received, conversations, campaigns."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "inboxes",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("away_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_inboxes_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inboxes")),
        sa.UniqueConstraint("name", name=op.f("uq_inboxes_name")),
    )
    op.create_index(op.f("ix_inboxes_account_id"), "inboxes", ["account_id"], unique=False)
    op.create_table(
        "inbox_members",
        sa.Column("inbox_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("sends", sa.Boolean(), nullable=False),
        sa.Column("sees_sent", sa.Boolean(), nullable=False),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["inbox_id"], ["inboxes.id"], name=op.f("fk_inbox_members_inbox_id")),
        sa.ForeignKeyConstraint(["person_id"], ["people.id"], name=op.f("fk_inbox_members_person_id")),
        sa.PrimaryKeyConstraint("inbox_id", "person_id", name=op.f("pk_inbox_members")),
    )
    op.create_index(op.f("ix_inbox_members_person_id"), "inbox_members", ["person_id"], unique=False)
    op.create_table(
        "sms_senders",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("inbox_id", sa.String(), nullable=False),
        sa.Column("address_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("classes", sa.Text(), nullable=False),
        sa.Column("stop_code", sa.String(), nullable=True),
        sa.Column("carriers", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["inbox_id"], ["inboxes.id"], name=op.f("fk_sms_senders_inbox_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_senders")),
        sa.UniqueConstraint("digest", name=op.f("uq_sms_senders_digest")),
    )
    op.create_index(op.f("ix_sms_senders_inbox_id"), "sms_senders", ["inbox_id"], unique=False)
    op.create_table(
        "sms_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("kek_id", sa.String(), nullable=False),
        sa.Column("wrap", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["kek_id"], ["keks.id"], name=op.f("fk_sms_keys_kek_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_keys")),
    )
    op.create_index(op.f("ix_sms_keys_kek_id"), "sms_keys", ["kek_id"], unique=False)
    op.create_table(
        "sms_sent",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("inbox_id", sa.String(), nullable=False),
        sa.Column("sender_id", sa.String(), nullable=False),
        sa.Column("author_id", sa.String(), nullable=False),
        sa.Column("campaign_id", sa.String(), nullable=True),
        sa.Column("conversation_id", sa.String(), nullable=True),
        sa.Column("message_class", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("legal_basis", sa.String(), nullable=False),
        sa.Column("evidence", sa.String(), nullable=False),
        sa.Column("recipient_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("coding", sa.String(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("reference", sa.Integer(), nullable=False),
        sa.Column("cost_microeuros", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("valid_until", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("one_time", sa.Boolean(), nullable=False),
        sa.Column("queued_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("key_id", sa.String(), nullable=True),
        sa.Column("content_until", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["inbox_id"], ["inboxes.id"], name=op.f("fk_sms_sent_inbox_id")),
        sa.ForeignKeyConstraint(["key_id"], ["sms_keys.id"], name=op.f("fk_sms_sent_key_id")),
        sa.ForeignKeyConstraint(["sender_id"], ["sms_senders.id"], name=op.f("fk_sms_sent_sender_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_sent")),
    )
    op.create_index(op.f("ix_sms_sent_campaign_id"), "sms_sent", ["campaign_id"], unique=False)
    op.create_index(op.f("ix_sms_sent_content_until"), "sms_sent", ["content_until"], unique=False)
    op.create_index(op.f("ix_sms_sent_conversation_id"), "sms_sent", ["conversation_id"], unique=False)
    op.create_index(op.f("ix_sms_sent_created_at"), "sms_sent", ["created_at"], unique=False)
    op.create_index(op.f("ix_sms_sent_digest_created_at"), "sms_sent", ["digest", "created_at"], unique=False)
    op.create_index(op.f("ix_sms_sent_expires_at"), "sms_sent", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sms_sent_inbox_id"), "sms_sent", ["inbox_id"], unique=False)
    op.create_index(op.f("ix_sms_sent_key_id"), "sms_sent", ["key_id"], unique=False)
    op.create_index(op.f("ix_sms_sent_state_due_at"), "sms_sent", ["state", "due_at"], unique=False)
    op.create_table(
        "sms_parts",
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=True),
        sa.Column("network_id", sa.String(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("handed_at", sa.BigInteger(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["message_id"], ["sms_sent.id"], name=op.f("fk_sms_parts_message_id")),
        sa.PrimaryKeyConstraint("message_id", "number", name=op.f("pk_sms_parts")),
    )
    op.create_index(op.f("ix_sms_parts_carrier_network_id"), "sms_parts", ["carrier", "network_id"], unique=False)
    op.create_table(
        "sms_events",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("about", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=True),
        sa.Column("actor_id", sa.String(), nullable=True),
        sa.Column("detail", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_events")),
    )
    op.create_index(op.f("ix_sms_events_about"), "sms_events", ["about"], unique=False)
    op.create_table(
        "sms_receipts",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("network_id", sa.String(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_receipts")),
    )
    op.create_index(op.f("ix_sms_receipts_carrier_network_id"), "sms_receipts", ["carrier", "network_id"], unique=False)
    op.create_index(op.f("ix_sms_receipts_expires_at"), "sms_receipts", ["expires_at"], unique=False)
    op.create_table(
        "sms_received",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("inbox_id", sa.String(), nullable=False),
        sa.Column("sender_id", sa.String(), nullable=True),
        sa.Column("conversation_id", sa.String(), nullable=True),
        sa.Column("campaign_id", sa.String(), nullable=True),
        sa.Column("in_reply_to", sa.String(), nullable=True),
        sa.Column("carrier", sa.String(), nullable=False),
        sa.Column("addresses_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("body_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("kek_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("legal_basis", sa.String(), nullable=False),
        sa.Column("stop", sa.String(), nullable=False),
        sa.Column("sorting", sa.String(), nullable=False),
        sa.Column("rule", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("missing", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("handled_by", sa.String(), nullable=True),
        sa.Column("handled_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["inbox_id"], ["inboxes.id"], name=op.f("fk_sms_received_inbox_id")),
        sa.ForeignKeyConstraint(["kek_id"], ["keks.id"], name=op.f("fk_sms_received_kek_id")),
        sa.ForeignKeyConstraint(["sender_id"], ["sms_senders.id"], name=op.f("fk_sms_received_sender_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_received")),
    )
    op.create_index(op.f("ix_sms_received_campaign_id"), "sms_received", ["campaign_id"], unique=False)
    op.create_index(op.f("ix_sms_received_conversation_id"), "sms_received", ["conversation_id"], unique=False)
    op.create_index(op.f("ix_sms_received_digest_received_at"), "sms_received", ["digest", "received_at"], unique=False)
    op.create_index(op.f("ix_sms_received_expires_at"), "sms_received", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sms_received_in_reply_to"), "sms_received", ["in_reply_to"], unique=False)
    op.create_index(
        op.f("ix_sms_received_inbox_id_received_at"), "sms_received", ["inbox_id", "received_at"], unique=False
    )
    op.create_index(op.f("ix_sms_received_kek_id"), "sms_received", ["kek_id"], unique=False)
    op.create_table(
        "sms_deliveries",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("delivery", sa.String(), nullable=False),
        sa.Column("link", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_sms_deliveries")),
    )
    op.create_index(op.f("ix_sms_deliveries_at"), "sms_deliveries", ["at"], unique=False)
    op.create_table(
        "sms_fragments",
        sa.Column("whole", sa.LargeBinary(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("part_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("whole", "number", name=op.f("pk_sms_fragments")),
    )
    op.create_index(op.f("ix_sms_fragments_at"), "sms_fragments", ["at"], unique=False)
    op.create_table(
        "sms_waiting",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("text_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["account_id"], ["accounts.id"], name=op.f("fk_sms_waiting_account_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_waiting")),
    )
    op.create_index(op.f("ix_sms_waiting_account_id"), "sms_waiting", ["account_id"], unique=False)
    op.create_index(op.f("ix_sms_waiting_expires_at"), "sms_waiting", ["expires_at"], unique=False)
    op.create_table(
        "sms_requests",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("received_id", sa.String(), nullable=False),
        sa.Column("inbox_id", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_by", sa.String(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["inbox_id"], ["inboxes.id"], name=op.f("fk_sms_requests_inbox_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sms_requests")),
    )
    op.create_index(op.f("ix_sms_requests_expires_at"), "sms_requests", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sms_requests_received_id"), "sms_requests", ["received_id"], unique=False)
    op.create_table(
        "conversations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("inbox_id", sa.String(), nullable=False),
        sa.Column("sender_id", sa.String(), nullable=False),
        sa.Column("remote_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("assigned_to", sa.String(), nullable=True),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["inbox_id"], ["inboxes.id"], name=op.f("fk_conversations_inbox_id")),
        sa.ForeignKeyConstraint(["sender_id"], ["sms_senders.id"], name=op.f("fk_conversations_sender_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conversations")),
    )
    op.create_index(op.f("ix_conversations_digest_sender_id"), "conversations", ["digest", "sender_id"], unique=False)
    op.create_index(op.f("ix_conversations_expires_at"), "conversations", ["expires_at"], unique=False)
    op.create_index(op.f("ix_conversations_inbox_id"), "conversations", ["inbox_id"], unique=False)
    op.create_table(
        "campaigns",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("inbox_id", sa.String(), nullable=False),
        sa.Column("sender_id", sa.String(), nullable=False),
        sa.Column("message_class", sa.String(), nullable=False),
        sa.Column("sector", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("template_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("per_minute", sa.Integer(), nullable=False),
        sa.Column("starts_at", sa.BigInteger(), nullable=False),
        sa.Column("ends_at", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("approved_sha256", sa.String(), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["inbox_id"], ["inboxes.id"], name=op.f("fk_campaigns_inbox_id")),
        sa.ForeignKeyConstraint(["sender_id"], ["sms_senders.id"], name=op.f("fk_campaigns_sender_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("name", name=op.f("uq_campaigns_name")),
    )
    op.create_index(op.f("ix_campaigns_expires_at"), "campaigns", ["expires_at"], unique=False)
    op.create_index(op.f("ix_campaigns_inbox_id"), "campaigns", ["inbox_id"], unique=False)
    op.create_index(op.f("ix_campaigns_state"), "campaigns", ["state"], unique=False)
    op.create_table(
        "campaign_recipients",
        sa.Column("campaign_id", sa.String(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("number_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("fields_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["campaign_id"], ["campaigns.id"], name=op.f("fk_campaign_recipients_campaign_id")),
        sa.PrimaryKeyConstraint("campaign_id", "line", name=op.f("pk_campaign_recipients")),
    )
    op.create_index(
        op.f("ix_campaign_recipients_campaign_id_digest"), "campaign_recipients", ["campaign_id", "digest"], unique=True
    )
    op.create_index(
        op.f("ix_campaign_recipients_campaign_id_state_due_at"),
        "campaign_recipients",
        ["campaign_id", "state", "due_at"],
        unique=False,
    )
    op.create_index(op.f("ix_campaign_recipients_message_id"), "campaign_recipients", ["message_id"], unique=False)
