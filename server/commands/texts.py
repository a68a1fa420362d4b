"""sms: texts that are sent. optout: who wants none. carrier: by which ways they go."""

from __future__ import annotations

import argparse
import sys

from server.client import ask
from server.commands.base import (
    Field,
    Subparsers,
    answer,
    asking,
    group,
    leaf,
    many,
    minutes,
    misuse,
    operation,
    out,
    print_json,
    record,
    short,
    table,
    words,
)


def euros(value: object) -> str:
    """Of millionths of a euro: `0.045 EUR`."""
    return f"{int(str(value)) / 1_000_000:.4f}".rstrip("0").rstrip(".") + " EUR"


FIELDS = (
    Field("id", "opaque id; its beginning is enough to name it", "ID", short),
    Field("inbox", "inbox that it was written from", "INBOX"),
    Field("to", "recipient; masked without --reason", "TO"),
    Field("sender", "address that it comes from"),
    Field("message_class", "conversation, transactional, marketing or internal", "CLASS"),
    Field("state", "held, queued, sending, sent, delivered, undelivered, expired, rejected, failed, refused, cancelled,"
          " unknown", "STATE"),
    Field("why", "what stands behind that state", "WHY"),
    Field("parts", "parts that it takes"),
    Field("cost_microeuros", "what they cost, in millionths of a euro", show=euros),
    Field("created_at", "when it was written", "WRITTEN", minutes),
    Field("due_at", "when it may leave"),
    Field("updated_at", "when something happened to it last"),
    Field("author_id", "who wrote it: a person, an account, or what answered by itself"),
    Field("evidence", "consent or contract that it rests on"),
    Field("purpose", "policy pack"),
    Field("legal_basis", "by which law"),
    Field("content_until", "when its words go"),
    Field("expires_at", "when all of it goes"),
)  # fmt: skip
QUOTE_FIELDS = (
    Field("id", "opaque id; null: nothing was sent"),
    Field("to", "recipient, masked"),
    Field("sender", "address that it comes from"),
    Field("message_class", "conversation, transactional or marketing"),
    Field("parts", "parts that it takes"),
    Field("coding", "gsm7 (160 characters, 153 in a part of several) or ucs2 (70, 67)"),
    Field("units", "septets or units of 16 bits that the text has"),
    Field("forced", "characters that force ucs2", show=words),
    Field("changed", "what --transliterate replaced", show=words),
    Field("carriers", "carriers that could take it, in order; only known while the daemon runs", show=words),
    Field("cost_microeuros", "what the first of them costs, in millionths of a euro", show=euros),
    Field("due_at", "when it may leave", show=minutes),
    Field("state", "as sms list; empty where nothing was sent"),
)
STEP_FIELDS = (
    Field("at", "when (UTC)", "WHEN"),
    Field("what", "what happened", "WHAT"),
    Field("part", "to which part, where there are several", "PART"),
    Field("by", "by whom", "BY", short),
    Field("detail", "carrier, the network's id or code", "DETAIL"),
)
HISTORY_FIELDS = (
    Field("text", "the text, with the fields of sms list"),
    Field("history", "everything that happened to it, in order"),
)
OPTOUT_FIELDS = (
    Field("advertising", "whether advertising may be sent, as far as objections go"),
    Field("conversations", "whether a person may write to them"),
    Field("doubtful", "whether something that they wrote waits for a person to read it"),
    Field("since", "when they objected first", show=minutes),
    Field("source", "by which way: sms, call, letter..."),
    Field("reason", "objection, withdrawal, refusal, import, order"),
)
LISTED_FIELDS = (
    Field("id", "opaque id", "ID", short),
    Field("channel", "sms: texts; all: texts and calls", "CHANNEL"),
    Field("reason", "objection, withdrawal, refusal, import, order", "REASON"),
    Field("source", "by which way it came", "SOURCE"),
    Field("since", "when", "SINCE", minutes),
    Field("until", "until when, if not until further notice"),
    Field("legal_basis", "by which law it is kept"),
    Field("kept_until", "when somebody looks at it again"),
)
CARRIER_FIELDS = (
    Field("name", "as the configuration names it", "NAME"),
    Field("kind", "smpp, modem or trunk", "KIND"),
    Field("health", "up, connecting, refused or off; empty while the daemon does not run", "HEALTH"),
    Field("since", "since when", "SINCE", minutes),
    Field("why", "why it is not up", "WHY"),
    Field("in_flight", "parts without an answer now"),
    Field("prefixes", "numbers that go this way; none: all", show=words),
    Field("classes", "what it carries", "CLASSES", words),
    Field("part_cost_microeuros", "what a part costs", show=euros),
    Field("preference", "the higher goes first"),
)


def register(subparsers: Subparsers) -> None:
    sms = group(subparsers, "sms", "texts that are sent")
    _send(sms)
    listed = leaf(sms, "list", "list texts that were sent, newest first",
                  operation("sms.list", "login", "inbox", "states", "number", "limit"), fields=FIELDS, many=True,
                  reasons=True)  # fmt: skip
    _as(listed)
    listed.add_argument("--inbox", metavar="NAME", help="of this inbox only")
    listed.add_argument("--states", type=many, metavar="LIST", help="with commas, such as unknown,failed")
    listed.add_argument("--number", metavar="NUMBER", help="to this number only")
    listed.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
    show = leaf(sms, "show", "show all that happened to a text", _show, fields=HISTORY_FIELDS, reasons=True,
                details="Its words are read with inbox read --sent.")  # fmt: skip
    cancel = leaf(sms, "cancel", "keep a text that has not left from leaving", operation("sms.cancel", "login", "text"),
                  fields=FIELDS, reasons=True)  # fmt: skip
    settle = leaf(sms, "settle", "say what became of a text of which nobody knows",
                  operation("sms.settle", "login", "text", "became"), fields=FIELDS, reasons=True,
                  details="Nothing is sent. Whoever wants it sent again writes it again.")  # fmt: skip
    settle.add_argument("--became", required=True, choices=("delivered", "lost"), help="as you know it; say how in"
                        " --reason")  # fmt: skip
    for parser in (show, cancel, settle):
        parser.add_argument("text", metavar="ID", help="as sms list shows it")
        _as(parser)
    _optouts(group(subparsers, "optout", "who wants no texts"))
    _carriers(group(subparsers, "carrier", "by which ways texts leave and come in"))


def _as(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as", dest="login", required=True, metavar="LOGIN", help="in whose name")


def _send(sms: Subparsers) -> None:
    send = leaf(sms, "send", "send a text to one number", _sent, fields=QUOTE_FIELDS, reasons=True,
                details="The words are read from standard input, so that no list of commands keeps them. With --dry-run"
                " it says what the text would take and cost.")  # fmt: skip
    send.add_argument("to", metavar="NUMBER", help="with + and the country, or as it is dialled here; or a short code")
    _as(send)
    send.add_argument("--inbox", required=True, metavar="NAME", help="inbox that it is written from")
    send.add_argument("--class", dest="message_class", choices=("conversation", "transactional", "marketing"),
                      help="default conversation")  # fmt: skip
    send.add_argument("--from", dest="sender", metavar="ADDRESS", help="where the inbox has more than one")
    send.add_argument("--at", metavar="TIME", help="not before then, such as 2026-12-01T09:00")
    send.add_argument("--transliterate", dest="transliterated", action="store_true", default=None,
                      help="replace what the GSM alphabet lacks, where that makes it cheaper")  # fmt: skip
    send.add_argument("--one-time", action="store_true", help="it holds a one-time code: its words are kept nowhere")
    send.add_argument("--dry-run", action="store_true", help="send nothing")


def _sent(args: argparse.Namespace) -> int:
    text = _words()
    names = ("login", "inbox", "to", "message_class", "sender", "at", "transliterated", "one_time", "dry_run")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    answer(args, ask(asking(args), "sms.send", words=text, **given))
    return 0


def _words() -> str:
    if sys.stdin.isatty():
        sys.stderr.write("The text, then Ctrl-D:\n")
    text = sys.stdin.read().rstrip("\n")
    if not text.strip():
        raise misuse("there is nothing in this text", "Give its words on standard input: beffroi sms send ... < FILE")
    return text


def _show(args: argparse.Namespace) -> int:
    said = ask(asking(args), "sms.show", login=args.login, text=args.text)
    if args.json:
        print_json(said)
    else:
        out(record(FIELDS, said["text"]))
        out("\n" + table(STEP_FIELDS, said["history"]))
    return 0


def _optouts(optouts: Subparsers) -> None:
    add = leaf(optouts, "add", "send somebody no more advertising, from now on",
               operation("optout.add", "number", "scope", "source"), fields=LISTED_FIELDS, reasons=True)  # fmt: skip
    add.add_argument("number", metavar="NUMBER")
    add.add_argument("--scope", choices=("sms", "all"), help="all: no calls either (default sms)")
    add.add_argument("--source", choices=("cli", "call", "sms", "link", "letter", "email"), help="how they said so")
    listed = leaf(optouts, "list", "list objections that hold for texts", operation("optout.list", "limit"),
                  fields=LISTED_FIELDS, many=True)  # fmt: skip
    listed.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
    check = leaf(optouts, "check", "may this number be texted?", operation("optout.check", "number"),
                 fields=OPTOUT_FIELDS, reasons=True)  # fmt: skip
    check.add_argument("number", metavar="NUMBER")


def _carriers(carriers: Subparsers) -> None:
    leaf(carriers, "list", "list carriers, and how they are", operation("carrier.list"), fields=CARRIER_FIELDS,
         many=True)  # fmt: skip
    test = leaf(carriers, "test", "send a test text by one carrier and wait for what becomes of it",
                operation("carrier.test", "carrier", "login", "inbox", "to", "sender"), fields=QUOTE_FIELDS,
                reasons=True)  # fmt: skip
    test.add_argument("carrier", metavar="NAME")
    test.add_argument("--to", required=True, metavar="NUMBER", help="a telephone of yours")
    test.add_argument("--inbox", required=True, metavar="NAME", help="inbox that may send service texts")
    test.add_argument("--from", dest="sender", metavar="ADDRESS", help="where the inbox has more than one")
    _as(test)
