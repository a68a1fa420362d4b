"""session and token: who is signed in, and which programs act for whom."""

from __future__ import annotations

import argparse

from server.client import ask
from server.commands.base import (
    Field,
    Subparsers,
    asking,
    group,
    leaf,
    many,
    minutes,
    operation,
    out,
    print_json,
    short,
)
from server.failure import Failure


def _rights_as_typed(said: object) -> str:
    return ",".join(f"{right}={reach}" for right, reach in said.items()) if isinstance(said, dict) else ""


SESSION_FIELDS = (
    Field("id", "opaque id; what logs and the ledger call it", "ID", short),
    Field("created_at", "since when", "SINCE", minutes),
    Field("last_seen_at", "last used, to the minute", "LAST SEEN", minutes),
    Field("source", "address that it was begun from; masked without --reason", "FROM"),
    Field("browser", "browser and system, as the browser said it", "BROWSER"),
    Field("current", "whether it is the one that asks"),
)
TOKEN_FIELDS = (
    Field("id", "opaque id; what logs and the ledger call it", "ID", short),
    Field("name", "what people call it; masked without --reason", "NAME"),
    Field("rights", "what it may do at most, and how far", "RIGHTS", _rights_as_typed),
    Field("created_at", "since when"),
    Field("expires_at", "until when", "UNTIL", minutes),
    Field("last_used_at", "last used, to the minute", "LAST USED", minutes),
)
NEW_TOKEN_FIELDS = (
    Field("token", "the token, with the fields of token list"),
    Field("text", "what the program sends as Authorization: Bearer; it is not shown again"),
)


def register(subparsers: Subparsers) -> None:
    sessions = group(subparsers, "session", "who is signed in to the portal")
    listed = leaf(sessions, "list", "where somebody is signed in", operation("session.list", "login"),
                  fields=SESSION_FIELDS, many=True, reasons=True)  # fmt: skip
    ended = leaf(sessions, "revoke", "sign one browser out, at once", operation("session.revoke", "login", "session"),
                 fields=SESSION_FIELDS, reasons=True)  # fmt: skip
    tokens = group(subparsers, "token", "tokens by which programs act for somebody")
    made = leaf(tokens, "create", "make a token for one program", _create, fields=NEW_TOKEN_FIELDS,
                details="The token is shown once. It never does more than its person may at that moment.")  # fmt: skip
    held = leaf(tokens, "list", "somebody's tokens", operation("token.list", "login"), fields=TOKEN_FIELDS, many=True,
                reasons=True)  # fmt: skip
    revoked = leaf(tokens, "revoke", "a token counts no more, at once", operation("token.revoke", "login", "token"),
                   fields=TOKEN_FIELDS, reasons=True)  # fmt: skip
    for parser in (listed, ended, made, held, revoked):
        parser.add_argument("login")
    ended.add_argument("session", help="its id, or the beginning of it")
    revoked.add_argument("token", help="its id, or the beginning of it")
    made.add_argument("name", help="what it is for")
    made.add_argument("--rights", required=True, type=many, metavar="RIGHT=REACH,...",
                      help="such as calls.read=own,texts.use=own; role show has them all")  # fmt: skip
    made.add_argument("--days", type=int, metavar="N", help="how long it lasts (default 90, at most 366)")


def _create(args: argparse.Namespace) -> int:
    rights = {}
    for one in args.rights:
        right, given, reach = one.partition("=")
        if not given or reach not in ("own", "team", "all"):
            raise Failure(f"{one[:60]} is no right with its reach", "Write calls.read=own,texts.use=own", "misuse")
        rights[right] = reach
    days = {"days": args.days} if args.days is not None else {}
    said = ask(asking(args), "token.create", login=args.login, name=args.name, rights=rights, **days)
    if args.json:
        print_json(said)
        return 0
    out(f"Shown once, for the program:\n    {said['text']}\nIt counts until {minutes(said['token']['expires_at'])}.")
    return 0
