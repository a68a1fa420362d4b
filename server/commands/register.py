"""retention register: what is kept of whom, who may see it, and who is sent anything: the register of Article 30."""

from __future__ import annotations

import argparse

from server.client import ask
from server.commands.base import Field, Subparsers, asking, leaf, out, print_json, table, words

ENTRY_FIELDS = (
    Field("group", "recordings, calls, texts, contacts, proof or staff", "GROUP"),
    Field("what", "what it is", "WHAT"),
    Field("where", "name of the table, or pattern of paths", "WHERE"),
    Field("subject", "whom it is about", "ABOUT"),
    Field("purpose", "for what it is kept: a pack, or in words"),
    Field("basis", "article of the GDPR; empty where each row says its own"),
    Field("forms", "clear, hashed (found by whoever has the number), sealed", show=words),
    Field("expiry", "where its end stands: a column, a period, an event"),
    Field("period", "how long at most by its pack or the configuration (ISO 8601); none where each row says", "FOR"),
    Field("erased_by", "which kind of the deletion gate takes it away", show=words),
    Field("unless", "why nothing takes it away"),
    Field("seen_by", "roles that see it, and whose; none: nobody is shown it", show=words),
    Field("unseen", "why nobody is shown it; empty where it takes a right"),
)
RECEIVER_FIELDS = (
    Field("kind", "trunk, text_carrier, mail_relay, webhook, alert_webhook, syslog or database", "KIND"),
    Field("name", "as the directory or the configuration calls it", "NAME"),
    Field("host", "where; of a modem its device", "HOST"),
    Field("port", "its port; 0: none", "PORT"),
    Field("gets", "what it is sent", "GETS"),
    Field("encrypted", "whether that is encrypted on the way"),
    Field("enabled", "whether it is used"),
    Field("here", "whether it is this machine itself"),
)
FIELDS = (
    Field("company", "who answers for it (company.name)"),
    Field("contact", "the data protection officer's contact (company.dpo_contact)"),
    Field("data", "the data directory on this machine"),
    Field("database", "the database"),
    Field("entries", f"what is kept: {', '.join(field.name for field in ENTRY_FIELDS)}"),
    Field("receivers", f"who is sent anything: {', '.join(field.name for field in RECEIVER_FIELDS)}"),
)


def register(retention: Subparsers) -> None:
    """Within the group of `retention`."""
    leaf(retention, "register", "what is kept of whom, who sees it, and who is sent anything: for Art. 30",
         _register, fields=FIELDS, details="From the tables, the roles and the configuration as they are.")  # fmt: skip


def _register(args: argparse.Namespace) -> int:
    said = ask(asking(args), "retention.register")
    if args.json:
        print_json(said)
        return 0
    out(table(ENTRY_FIELDS, said["entries"]))
    out("")
    out(table(RECEIVER_FIELDS, said["receivers"]))
    out(f"all of it lies in {said['data']}, and the database in {said['database']}")
    return 0
