"""recordings: what there is, and listening to it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from server.client import ask
from server.commands import listening_requests, recording_orders
from server.commands.base import (
    Field,
    Subparsers,
    asking,
    duration,
    group,
    leaf,
    many,
    minutes,
    operation,
    out,
    print_json,
    short,
    table,
    words,
)
from server.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def _parties(value: Sequence[Mapping[str, object]]) -> str:
    return " > ".join(str(party["account"] or party["number"] or "?") for party in value)


def _gaps(value: Sequence[Mapping[str, Any]]) -> str:
    return ", ".join(f"{duration(gap['start_ms'])}-{duration(gap['end_ms'])} {gap['why']}" for gap in value)


FIELDS = (
    Field("id", "opaque id; its beginning is enough to name it", "ID", short),
    Field("state", "recording, whole, cut (openable to its last block), failed, destroyed", "STATE"),
    Field("started_at", "when the recording began", "BEGAN", minutes),
    Field("ended_at", "when it ended"),
    Field("expires_at", "when it is destroyed", "UNTIL", minutes),
    Field("destroyed_at", "when it was destroyed"),
    Field("call_id", "call it belongs to; null once destroyed, like all that follow"),
    Field("purpose", "policy pack", "PURPOSE"),
    Field("legal_basis", "by which law"),
    Field("policy", "version of the company's policy; null: none was in force"),
    Field("duration_ms", "length in milliseconds", "LENGTH", duration),
    Field("size_bytes", "size of the sealed file"),
    Field("codec", "opus or flac"),
    Field("sha256", "of the sealed file"),
    Field("parties", "who is heard: channel (0 left), account, number; numbers masked without --reason",
          "PARTIES", _parties),
    Field("consent_refs", "entries of the consent log that permit it"),
    Field("gaps", "silence in place of what was said: start_ms, end_ms, why (hold or pause)", show=_gaps),
    Field("parts", "all recordings of its call, in order: one for each composition of parties", show=words),
    Field("waits_for", "event from which its period runs, not entered yet: beffroi recordings event"),
    Field("event_on", "day of that event, once it is entered"),
    Field("held", "whether a legal hold stands on it"),
    Field("for_two", "whether nobody opens it alone: beffroi recordings request"),
)  # fmt: skip
VERDICT_FIELDS = (
    Field("id", "opaque id", "ID", short),
    Field("state", "as recordings list", "STATE"),
    Field("sound", "file present and unaltered, key present", "SOUND"),
    Field("findings", "what is wrong", "FINDINGS", words),
)


def register(subparsers: Subparsers) -> None:
    recordings = group(subparsers, "recordings", "sealed recordings, and listening to them")
    listed = leaf(recordings, "list", "list recordings, newest first",
                  operation("recordings.list", "states", "number", "call", "purpose", "limit"), fields=FIELDS,
                  many=True, reasons=True)  # fmt: skip
    listed.add_argument("--states", type=many, metavar="LIST", help="with commas (default: all but destroyed)")
    listed.add_argument("--number", metavar="NUMBER", help="in which this number is heard; needs --reason")
    listed.add_argument("--call", metavar="ID", help="of this call")
    listed.add_argument("--purpose", metavar="PACK", help="of this policy pack")
    listed.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
    show = leaf(recordings, "show", "show what is known of a recording", operation("recordings.show", "rec_id"),
                fields=FIELDS, reasons=True)  # fmt: skip
    show.add_argument("rec_id", metavar="ID")
    verify = leaf(
        recordings, "verify", "check files and keys; opens nothing", _verify, fields=VERDICT_FIELDS, many=True
    )
    verify.add_argument("rec_ids", metavar="ID", nargs="*", help="these (default: all that are finished)")
    open_ = leaf(recordings, "open", "listen to a recording, on a page on this machine for 15 minutes", _open)
    export = leaf(recordings, "export", "write a recording in clear to a file of yours", _export)
    export.add_argument("--format", choices=("ogg", "wav"), default="ogg", help="as it was sealed, or WAV")
    export.add_argument("--out", type=Path, required=True, metavar="FILE", help="a new file; it is made 0600")
    for parser in (open_, export):
        parser.add_argument("rec_id", metavar="ID", help="as recordings list shows it")
        parser.add_argument("--as", dest="login", required=True, metavar="LOGIN", help="the reader")
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; is written down")
        parser.add_argument("--case", metavar="TEXT", help="the case it belongs to; is written down")
        parser.add_argument("--secrets-fd", type=int, metavar="N",
                            help="read passphrase and code, a line each, from descriptor N")  # fmt: skip
    open_.add_argument("--language", choices=("en", "fr"), default="en", help="of the page")
    recording_orders.register(recordings)
    listening_requests.register(recordings)


def _verify(args: argparse.Namespace) -> int:
    said = ask(asking(args), "recordings.verify", rec_ids=args.rec_ids)
    if args.json:
        print_json(said)
    else:
        out(table(VERDICT_FIELDS, said))
    return 0 if all(one["sound"] for one in said) else 1


def _open(args: argparse.Namespace) -> int:
    from recording.room_terminal import page_of, wait_closed
    from server.unlock import room

    with room(asking(args), login=args.login, rec_id=args.rec_id, mode="open", language=args.language) as connection:
        page = page_of(connection, unlocking(args.secrets_fd))
        out(f"{page.url}\nIn a browser on this machine, once. It closes at {page.until}, or with Ctrl-C."
            + (" This recording was cut." if page.state == "cut" else ""))  # fmt: skip
        sys.stdout.flush()
        try:
            wait_closed(connection)
        except KeyboardInterrupt:
            out("\nclosed")
    return 0


def _export(args: argparse.Namespace) -> int:
    from recording.room_terminal import export_to
    from server.unlock import room

    if args.out.exists():
        raise Failure(f"{args.out} is already there", "Name a new file with --out", "conflict")
    with room(asking(args), login=args.login, rec_id=args.rec_id, mode="export", format=args.format) as connection:
        state = export_to(connection, unlocking(args.secrets_fd), args.out)
    out(f"{args.out} ({state}). It is in clear: remove it when you have no more need of it.")
    return 0


def unlocking(descriptor: int | None) -> Callable[[str], str]:
    """Answers the two questions of a listening room."""
    if descriptor is not None:
        import os

        try:
            with os.fdopen(descriptor, encoding="utf-8") as stream:
                passphrase, code = stream.readline().rstrip("\n"), stream.readline().rstrip("\n")
        except OSError:
            raise Failure(f"descriptor {descriptor} cannot be read", "Open it in the shell: 3<file", "misuse") from None
        return {"passphrase": passphrase, "totp": code}.__getitem__
    import getpass

    prompts = {"passphrase": "Passphrase: ", "totp": "Code of the authenticator: "}
    return lambda what: getpass.getpass(prompts[what])
