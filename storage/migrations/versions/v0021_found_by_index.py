"""Indexes by which the pages of a large house find what they show: what somebody did, what is due."""

from alembic import op

revision = "0021"
down_revision = "0020"

_ADDED = (
    ("sms_sent", ("author_id",)),
    ("sms_events", ("actor_id", "at")),
    ("sms_received", ("handled_by",)),
    ("conversations", ("assigned_to",)),
    ("sms_keys", ("created_at",)),
    ("recording_notes", ("author_id",)),
    ("recordings", ("state", "expires_at")),
    ("call_records", ("ages_at", "expires_at")),
    ("call_peers", ("digest", "call_id")),
    ("call_month_peers", ("digest", "call_id")),
)
# Those of two columns do what these did. An index of the expiry alone leads through all that is destroyed.
_GONE = (
    ("recordings", "state"),
    ("recordings", "expires_at"),
    ("call_records", "ages_at"),
    ("call_peers", "digest"),
    ("call_month_peers", "digest"),
)


def upgrade() -> None:
    for table, columns in _ADDED:
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns), unique=False)
    for table, column in _GONE:
        op.drop_index(op.f(f"ix_{table}_{column}"), table_name=table)
