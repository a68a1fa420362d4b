"""connection: what this server's own processes are connected to outside."""

from __future__ import annotations

from server.commands.base import Field, Subparsers, group, leaf, minutes, operation

FIELDS = (
    Field("address", "where to", "ADDRESS"),
    Field("port", "its port", "PORT"),
    Field("protocol", "tcp or udp"),
    Field("process", "which program of ours", "PROGRAM"),
    Field("kind", "why: trunk, text_carrier, mail_relay, webhook, alert_webhook, syslog, database, dns or phone; "
          "empty: nothing expects it", "WHY"),
    Field("name", "as the directory or the configuration calls it", "NAME"),
    Field("host", "the name that was resolved, where there is one"),
    Field("expected", "whether the configuration, the machine's name servers or a registered phone explain it",
          "EXPECTED"),
    Field("open", "whether it was there at the newest look", "OPEN"),
    Field("first_seen_at", "when a look saw it first"),
    Field("last_seen_at", "when a look saw it last", "LAST SEEN", minutes),
)  # fmt: skip


def register(subparsers: Subparsers) -> None:
    connections = group(subparsers, "connection", "what this server's own processes are connected to outside")
    leaf(connections, "list", "list connections that were seen going out", operation("connection.list"), fields=FIELDS,
         many=True,
         details="Since the daemon was started; looked at every five seconds, so what is shorter may be missed. "
         "Sockets that are tied to no address (SIP and audio by UDP) do not show.")  # fmt: skip
