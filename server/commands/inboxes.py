"""inbox: who reads and writes texts, from which address, and what came in."""

from __future__ import annotations

import argparse
import sys
from datetime import datetime
from typing import Any

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
    operation,
    out,
    plain,
    print_json,
    short,
    tell,
    words,
)

FIELDS = (
    Field("id", "opaque id"),
    Field("name", "name", "NAME"),
    Field("kind", "team, person, or sealed (what belongs to nobody else)", "KIND"),
    Field("account", "account whose phones get copies, of a person's"),
    Field("language", "of what is answered by itself"),
    Field("new", "texts that nobody has read", "NEW"),
    Field("held", "texts that may mean STOP: a person has to say", "HELD"),
    Field("aside", "texts that were set aside", "ASIDE"),
    Field("reads", "who reads what comes in", "READ BY", words),
    Field("sends", "who may write from it", "WRITTEN BY", words),
    Field("sees_sent", "who sees what was sent", show=words),
    Field("senders", "addresses that it sends from", show=words),
    Field("away_until", "until when it answers by itself", show=minutes),
    Field("disabled_at", "since when it is closed"),
)
SENDER_FIELDS = (
    Field("id", "opaque id"),
    Field("inbox", "inbox that sends from it", "INBOX"),
    Field("address", "number, short code or name", "ADDRESS"),
    Field("kind", "number, short or name"),
    Field("classes", "what may be sent from it", "CLASSES", words),
    Field("stop_code", "where STOP is sent to, if not to the address itself", "STOP TO"),
    Field("carriers", "carriers that know it; none: all", show=words),
    Field("approved_by", "person who approved it", "APPROVED BY", short),
    Field("created_at", "since when"),
    Field("disabled_at", "since when nothing is sent from it", "CLOSED", minutes),
)
RECEIVED_FIELDS = (
    Field("id", "opaque id; its beginning is enough to name it", "ID", short),
    Field("inbox", "inbox"),
    Field("sender", "who wrote; masked without --reason", "FROM"),
    Field("state", "new, read, handled, aside (set apart), held (may mean STOP)", "STATE"),
    Field("stop", "what it says of being texted: stop, start, help, ambiguous, none", "STOP"),
    Field("sorting", "why it was set aside", "ASIDE"),
    Field("rule", "by which rule it was understood or placed"),
    Field("parts", "parts that came"),
    Field("missing", "parts that did not"),
    Field("received_at", "when", "CAME", minutes),
    Field("sent_at", "when it was sent, as the network says"),
    Field("in_reply_to", "text of ours that it replies to"),
    Field("campaign_id", "campaign that it replies to"),
    Field("conversation_id", "conversation that it belongs to"),
    Field("purpose", "policy pack"),
    Field("legal_basis", "by which law"),
    Field("expires_at", "when it goes", "UNTIL", minutes),
)
REQUEST_FIELDS = (
    Field("id", "opaque id", "ID", short),
    Field("kind", "rectification, erasure, access or objection (GDPR 16, 17, 15, 21)", "KIND"),
    Field("inbox", "inbox that the text came to", "INBOX"),
    Field("received_id", "the text", "TEXT", short),
    Field("opened_at", "when it came", "CAME", minutes),
    Field("due_at", "by when it is to be done (GDPR 12(3))", "DUE", minutes),
    Field("closed_at", "when it was"),
)
CONVERSATION_FIELDS = (
    Field("id", "opaque id", "ID", short),
    Field("inbox", "inbox"),
    Field("remote", "with whom; masked without --reason", "WITH"),
    Field("assigned_to", "who answers", "ANSWERS"),
    Field("opened_at", "since when"),
    Field("last_at", "when something was said last", "LAST", minutes),
    Field("closed_at", "when it was closed"),
)


def register(subparsers: Subparsers) -> None:
    inbox = group(subparsers, "inbox", "texts that come in: each for the one inbox it belongs to")
    _administration(inbox)
    _reading(inbox)
    _requests(inbox)


def _as(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as", dest="login", required=True, metavar="LOGIN", help="in whose name")


def _name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inbox", metavar="NAME", help="as inbox list shows it")


def _administration(inbox: Subparsers) -> None:
    add = leaf(inbox, "add", "make an inbox", _add, fields=FIELDS)
    add.add_argument("name", metavar="NAME", help="small letters, such as support")
    add.add_argument("--account", metavar="NAME", help="a person's own: their phones get copies, and write from it")
    add.add_argument("--language", choices=("fr", "en"), help="of what is answered by itself (default fr)")
    listed = leaf(inbox, "list", "list inboxes", _listed, fields=FIELDS, many=True)
    listed.add_argument("--as", dest="login", metavar="LOGIN", help="those that this person may do something with")
    member = leaf(inbox, "member", "give rights to an inbox, or take them", _member, fields=FIELDS,
                  details="Reading what came in and seeing what was sent are two rights, with two keys: both need a"
                  " reader (person role, reader enrol).")  # fmt: skip
    _name(member)
    member.add_argument("login", metavar="LOGIN")
    for option, what in (("read", "what comes in"), ("send", "write from it"), ("sent", "see what was sent")):
        pair = member.add_mutually_exclusive_group()
        pair.add_argument(f"--{option}", dest=option, action="store_true", default=None, help=f"may {what}"
                          if option != "read" else "may read what comes in")  # fmt: skip
        pair.add_argument(f"--no-{option}", dest=option, action="store_false", help="may not")
    close = leaf(inbox, "close", "close an inbox: what comes for it goes to the sealed box", _close, fields=FIELDS)
    _name(close)
    close.add_argument("--reopen", action="store_true", help="open it again")
    senders = group(inbox, "sender", "addresses that texts are sent from")
    new = leaf(senders, "add", "approve an address for an inbox",
               operation("inbox.sender.add", "inbox", "address", "classes", "stop_code", "carriers", "approved_by"),
               fields=SENDER_FIELDS,
               details="A number, a short code, or a name of 3 to 11 letters and digits.")  # fmt: skip
    _name(new)
    new.add_argument("address", metavar="ADDRESS")
    new.add_argument("--classes", type=many, metavar="LIST",
                     help="conversation, transactional, marketing; with commas (default conversation)")  # fmt: skip
    new.add_argument("--stop-code", metavar="CODE", help="where STOP is sent to, such as 36180")
    new.add_argument("--carriers", type=many, metavar="LIST", help="carriers that know it (default all)")
    new.add_argument("--approved-by", required=True, metavar="LOGIN", help="a person with the role dpo or admin")
    shown = leaf(senders, "list", "list addresses", operation("inbox.sender.list", "inbox"), fields=SENDER_FIELDS,
                 many=True)  # fmt: skip
    shown.add_argument("--inbox", metavar="NAME", help="of this inbox only")
    gone = leaf(senders, "remove", "send nothing more from an address", operation("inbox.sender.remove", "address"),
                fields=SENDER_FIELDS)  # fmt: skip
    gone.add_argument("address", metavar="ADDRESS")


def _listed(args: argparse.Namespace) -> int:
    if args.login is None:
        answer(args, ask(asking(args), "inbox.every"))
    else:
        answer(args, ask(asking(args), "inbox.list", login=args.login))
    return 0


def _reading(inbox: Subparsers) -> None:
    show = leaf(inbox, "show", "list what came in, without its words",
                operation("inbox.show", "login", "inbox", "states", "limit"), fields=RECEIVED_FIELDS, many=True,
                reasons=True)  # fmt: skip
    _name(show)
    _as(show)
    show.add_argument("--states", type=many, metavar="LIST", help="with commas, such as new,held,aside")
    show.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
    read = leaf(inbox, "read", "read texts, with passphrase and code", _read,
                details="They are opened in a process of your own. What is shown is written down before.")  # fmt: skip
    _name(read)
    read.add_argument("--sent", action="store_true", help="what was sent, instead of what came in")
    read.add_argument("--search", metavar="WORDS", help="only texts with these words; case and accents do not count")
    read.add_argument("--text", metavar="ID", help="only this one")
    read.add_argument("--limit", type=int, metavar="N", help="look at so many of the newest (default 50)")
    read.add_argument("--json", action="store_true", help="print a JSON object a line")
    move = leaf(inbox, "move", "hand a text to another inbox, sealed to its readers", _move,
                details="You have to be able to read it; the readers of the other inbox can from then on.")  # fmt: skip
    _name(move)
    move.add_argument("text", metavar="ID")
    move.add_argument("--to", required=True, metavar="NAME", help="the inbox that it belongs to")
    for parser in (read, move):
        _as(parser)
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; is written down")
        parser.add_argument("--case", metavar="TEXT", help="the case it belongs to; is written down")
        parser.add_argument("--secrets-fd", type=int, metavar="N",
                            help="read passphrase and code, a line each, from descriptor N")  # fmt: skip
    handled = leaf(inbox, "handled", "say that a text was seen to", operation("inbox.handled", "login", "text"),
                   fields=RECEIVED_FIELDS, reasons=True)  # fmt: skip
    decide = leaf(inbox, "decide", "say whether a doubtful text means STOP",
                  operation("inbox.decide", "login", "text", "is_"), fields=RECEIVED_FIELDS, reasons=True)  # fmt: skip
    decide.add_argument("--is", dest="is_", required=True, choices=("stop", "no-stop"), help="as you have read it")
    for parser in (handled, decide):
        parser.add_argument("text", metavar="ID", help="as inbox show shows it")
        _as(parser)
    away = leaf(inbox, "away", "answer by itself while nobody is there", _away, fields=FIELDS,
                details="Once a day to the same telephone; never to short codes and machines.")  # fmt: skip
    _name(away)
    _as(away)
    away.add_argument("words", nargs="?", metavar="WORDS", help="what is answered; without them: nothing any more")
    away.add_argument("--until", metavar="TIME", help="such as 2026-12-24T18:00 (default: two weeks)")


def _requests(inbox: Subparsers) -> None:
    listed = leaf(inbox, "requests", "list what texts ask for that a person has to do",
                  operation("inbox.requests", "login"), fields=REQUEST_FIELDS, many=True)  # fmt: skip
    _as(listed)
    done = leaf(inbox, "done", "close such a request; --reason says how", operation("inbox.request.close", "login",
                "request"), fields=REQUEST_FIELDS, reasons=True)  # fmt: skip
    done.add_argument("request", metavar="ID")
    _as(done)
    talks = leaf(inbox, "conversations", "list open conversations",
                 operation("inbox.conversations", "login", "inbox", "limit"), fields=CONVERSATION_FIELDS, many=True,
                 reasons=True)  # fmt: skip
    _name(talks)
    _as(talks)
    talks.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
    over = leaf(inbox, "hand-over", "hand a conversation to another reader, or close it", _hand_over,
                fields=CONVERSATION_FIELDS, reasons=True)  # fmt: skip
    over.add_argument("conversation", metavar="ID")
    _as(over)
    over.add_argument("--to", metavar="LOGIN", help="who answers from now on (default: nobody in particular)")
    over.add_argument("--close", action="store_true", help="close it; the next text opens another")


def _add(args: argparse.Namespace) -> int:
    given = {name: getattr(args, name) for name in ("account", "language") if getattr(args, name) is not None}
    kind = "person" if args.account else "team"
    answer(args, ask(asking(args), "inbox.add", name=args.name, kind=kind, **given))
    return 0


def _member(args: argparse.Namespace) -> int:
    rights = {"reading": args.read, "sending": args.send, "sent": args.sent}
    given = {name: value for name, value in rights.items() if value is not None}
    answer(args, ask(asking(args), "inbox.member", inbox=args.inbox, login=args.login, **given))
    return 0


def _close(args: argparse.Namespace) -> int:
    answer(args, ask(asking(args), "inbox.close", inbox=args.inbox, reopen=args.reopen))
    return 0


def _away(args: argparse.Namespace) -> int:
    given = {name: getattr(args, name) for name in ("words", "until") if getattr(args, name) is not None}
    answer(args, ask(asking(args), "inbox.away", login=args.login, inbox=args.inbox, **given))
    return 0


def _hand_over(args: argparse.Namespace) -> int:
    given = {"to": args.to} if args.to else {}
    answer(
        args,
        ask(
            asking(args), "inbox.hand-over", login=args.login, conversation=args.conversation, close=args.close, **given
        ),
    )
    return 0


def _read(args: argparse.Namespace) -> int:
    wanted = {name: getattr(args, name) for name in ("search", "text", "limit") if getattr(args, name) is not None}
    store = "sent" if args.sent else "received"
    closed = _room(args, lambda one: _shown(args, one), inbox=args.inbox, store=store, **wanted)
    if closed:
        tell(f"{closed} texts were sealed before you had the right: another reader, or escrow, opens them.")
    return 0


def _move(args: argparse.Namespace) -> int:
    _room(args, lambda _: None, inbox=args.inbox, text=args.text, move_to=args.to)
    out(f"moved to {args.to}")
    return 0


def _room(args: argparse.Namespace, show: Any, **wanted: Any) -> int:
    """Answers the room's questions; `show` is given each text. How many could not be opened. Raises Failure."""
    from recording.room_messages import Lines
    from recording.room_terminal import RoomRefused
    from server.commands.recordings import unlocking
    from server.failure import Failure
    from server.unlock import room

    answers = unlocking(args.secrets_fd)
    with room(asking(args), "read", login=args.login, **wanted) as connection:
        lines = Lines(connection, 30 * 60.0)
        while True:
            said = lines.receive()
            if "refused" in said:
                raise RoomRefused(str(said["refused"]))
            if "ask" in said:
                lines.send({"answer": answers(str(said["ask"]))})
            elif "text" in said:
                show(said["text"] | {"words": lines.receive_block().decode()})
            else:
                break
    if not said["end"] and "move_to" in wanted:
        raise Failure("nothing was moved: you cannot open that text", "Another reader of that inbox can", "denied")
    return int(said["closed"])


def _shown(args: argparse.Namespace, one: dict[str, Any]) -> None:
    if args.json:
        print_json(one)
        return
    whose = f"from {one['from']}" if "from" in one else f"to {one['to']}"
    when = datetime.fromisoformat(one["at"]).astimezone().strftime("%Y-%m-%d %H:%M")
    missing = f", {one['missing']} parts missing" if one.get("missing") else ""
    out(f"{short(one['id'])}  {when}  {plain(whose)}  ({one['state']}{missing})")
    out("".join(f"    {line}\n" for line in plain(str(one["words"])).splitlines() or [""]))
    sys.stdout.flush()
