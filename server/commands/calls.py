"""calls: what remains of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from server.commands import call_reports, live_calls
from server.commands.base import Field, Subparsers, duration, group, leaf, minutes, operation, short
from server.commands.why import register_why


def _numbers(value: Mapping[str, str]) -> str:
    return " > ".join(value.values())


def _recordings(value: Sequence[Mapping[str, object]]) -> str:
    return ", ".join(f"{short(one['id'])} {one['state']} {duration(one['duration_ms'])}" for one in value)


def _ages(value: Sequence[Mapping[str, object]]) -> str:
    return "; ".join(f"{one['field']} {one['form']} until {minutes(one['until'])}, then {one['then']}" for one in value)


FIELDS = (
    Field("id", "opaque id", "ID", short),
    Field("at", "start of the call, as exact as its class allows", "AT", minutes),
    Field("line", "line that was called", "LINE"),
    Field("metadata_class", "minimal or standard; calls of class none leave no record", "CLASS"),
    Field("purpose", "what the record is kept for", "PURPOSE"),
    Field("legal_basis", "by which law"),
    Field("numbers", "role to number; masked without --reason", "NUMBERS", _numbers),
    Field("fields", "what else its class allows"),
    Field("recording_id", "its first recording, if there is one", "RECORDING", short),
    Field("expires_at", "when this record goes", "UNTIL", minutes),
    Field("mos", "quality as a mean opinion score, 1 to 4.5: see calls why", "MOS"),
    Field("recordings", "its recordings that are not destroyed: id, state, started_at, duration_ms; after a transfer "
          "there may be several", show=_recordings),
    Field("ages", "of calls show: each field that ages, its form, by which rule, until when, and what comes then",
          show=_ages),
)  # fmt: skip


def register(subparsers: Subparsers) -> None:
    calls = group(subparsers, "calls", "what remains of calls")
    listed = leaf(
        calls,
        "list",
        "list call records, newest first",
        operation("calls.list", "line", "number", "before", "limit"),
        fields=FIELDS,
        many=True,
        reasons=True,
    )
    listed.add_argument("--line", metavar="NAME", help="of this line only")
    listed.add_argument("--number", metavar="NUMBER", help="from or to this number; needs --reason")
    listed.add_argument("--before", metavar="ID", help="those that come after this call in the list, the older ones")
    listed.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
    show = leaf(calls, "show", "show a call record", operation("calls.show", "call_id"), fields=FIELDS, reasons=True)
    show.add_argument("call_id", metavar="ID", help="as calls list --json shows it")
    call_reports.register(calls)
    live_calls.register(calls)
    register_why(calls)
