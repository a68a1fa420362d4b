"""calls live, hangup, transfer, pause, originate: what goes on now."""

from __future__ import annotations

from server.commands.base import Field, Subparsers, leaf, minutes, operation, short

FIELDS = (
    Field("id", "opaque id; its beginning is enough for the other commands", "ID", short),
    Field("since", "when it began", "SINCE", minutes),
    Field("seconds", "for how long", "SECONDS"),
    Field("state", "beginning, ringing, connecting, talking, transferring, ending", "STATE"),
    Field("direction", "internal, outbound, inbound", "DIRECTION"),
    Field("account", "who of ours called, or was called", "ACCOUNT"),
    Field("line", "line that was called", "LINE"),
    Field("recording", "whether it is being recorded", "REC"),
    Field("paused", "whether silence flows into the recording"),
    Field("held", "whether one side has put the other on hold"),
    Field("emergency", "whether it is an emergency call"),
)
DONE_FIELDS = (Field("call", "id of the call"),)


def register(calls: Subparsers) -> None:
    """`calls` is the group of that name."""
    leaf(calls, "live", "list the calls that go on", operation("calls.live"), fields=FIELDS, many=True)
    ended = leaf(calls, "hangup", "end a call; both sides are told", operation("calls.hangup", "call_id"),
                 fields=DONE_FIELDS)  # fmt: skip
    passed = leaf(calls, "transfer", "connect one side of a call with somebody else; the other side leaves",
                  operation("calls.transfer", "call_id", "to", "leaves"), fields=DONE_FIELDS)  # fmt: skip
    paused = leaf(calls, "pause", "let silence flow into a call's recording; it goes on by itself after a while",
                  operation("calls.pause", "call_id"), fields=DONE_FIELDS)  # fmt: skip
    resumed = leaf(calls, "resume", "end that", _resume, fields=DONE_FIELDS)
    for parser in (ended, passed, paused, resumed):
        parser.add_argument("call_id", metavar="ID", help="as calls live shows it, or its beginning")
    passed.add_argument("to", metavar="NUMBER", help="whom to connect: what that person could dial")
    passed.add_argument("--leaves", choices=("a", "b"), help="who leaves: a called (default), b was called")
    begun = leaf(calls, "originate", "ring an account's telephones, then call a number as if dialled there",
                 operation("calls.originate", "account", "number"), fields=DONE_FIELDS)  # fmt: skip
    begun.add_argument("account", metavar="NAME", help="account name or extension")
    begun.add_argument("number", metavar="NUMBER", help="what to dial")


def _resume(args: object) -> int:
    args.on = False  # type: ignore[attr-defined]
    return _RESUME(args)  # type: ignore[arg-type]


_RESUME = operation("calls.pause", "call_id", "on")
