"""recordings openings, request, requests: who opened a recording, and what nobody opens alone."""

from __future__ import annotations

from server.commands.base import Field, Subparsers, leaf, minutes, operation, short

OPENING_FIELDS = (
    Field("at", "when", "WHEN", minutes),
    Field("action", "open, export, or listen: how much was heard, when it was closed", "WHAT"),
    Field("who", "the reader's login", "WHO"),
    Field("approved_by", "who agreed, where nobody opens it alone"),
    Field("purpose", "policy pack"),
    Field("reason", "why, and which case, as it was typed; with --reason", "WHY"),
    Field("reason_hidden", "whether a reason was given that is not shown"),
    Field("size_bytes", "how much of it was heard"),
)
FIELDS = (
    Field("id", "opaque id of the request", "ID", short),
    Field("rec_id", "opaque id of the recording", "RECORDING", short),
    Field("purpose", "policy pack"),
    Field("by", "login of the reader who wants to listen", "BY"),
    Field("reason", "why", "WHY"),
    Field("case", "the case it belongs to"),
    Field("state", "open, approved, refused, used, over (nobody decided, or used it, in time)", "STATE"),
    Field("asked_at", "when"),
    Field("until", "until when it can be decided, or used", "UNTIL", minutes),
    Field("decided_by", "login of the second reader"),
    Field("decided_at", "when"),
)


def register(recordings: Subparsers) -> None:
    """Within the group of `recordings`."""
    opened = leaf(recordings, "openings", "list who has opened a recording, when and why",
                  operation("recordings.openings", "rec_id"), fields=OPENING_FIELDS, many=True,
                  reasons=True)  # fmt: skip
    wanted = leaf(recordings, "request", "ask a second reader, for a recording that nobody opens alone",
                  operation("recordings.request", "rec_id", "login"), fields=FIELDS,
                  details="Packs with two_listeners say so. It waits a week for an answer. Another reader of the "
                  "purpose gives it in the portal; it then opens once, within a day.")  # fmt: skip
    listed = leaf(recordings, "requests", "list requests that wait or may be used",
                  operation("recordings.requests", "login"), fields=FIELDS, many=True)  # fmt: skip
    for parser in (opened, wanted):
        parser.add_argument("rec_id", metavar="ID", help="as recordings list shows it")
    wanted.add_argument("--as", dest="login", required=True, metavar="LOGIN", help="the reader")
    listed.add_argument("--as", dest="login", metavar="LOGIN", help="theirs, and those that they may decide")
    wanted.add_argument("--reason", required=True, metavar="TEXT", help="why; the second reader sees it")
    wanted.add_argument("--case", required=True, metavar="TEXT", help="the case it belongs to")
