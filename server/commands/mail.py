"""mail: who may order texts by mail."""

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
    words,
)

FIELDS = (
    Field("id", "opaque id; what logs and the ledger call it"),
    Field("account", "account it belongs to", "ACCOUNT"),
    Field("label", "what people call it; masked without --reason", "LABEL"),
    Field("login", "user name that the mail program signs in with", "LOGIN"),
    Field("senders", "addresses it may write as sender; masked without --reason", "SENDERS", words),
    Field("automatic", "whether its mails may say that a program wrote them", "PROGRAM"),
    Field("created_at", "when"),
    Field("revoked_at", "since when it may not sign in", "REVOKED", minutes),
)
NEW_FIELDS = (
    Field("login", "the login, with the fields of mail login list"),
    Field("password", "password to type in; it is not shown again"),
)


def register(subparsers: Subparsers) -> None:
    mail = group(subparsers, "mail", "texts that are ordered by mail")
    logins = group(mail, "login", "who may order them: one credential each, revocable alone")
    add = leaf(logins, "add", "make a credential for one mail program", _add, fields=NEW_FIELDS,
               details="The password is shown once. A relay that the configuration names speaks for these addresses"
               " without it.")  # fmt: skip
    add.add_argument("account")
    add.add_argument("--from", dest="senders", required=True, type=many, metavar="ADDRESS,...",
                     help="addresses that it may write as sender")  # fmt: skip
    add.add_argument("--label", metavar="TEXT", help="what to call it")
    add.add_argument("--automatic", action="store_true",
                     help="a program, such as a monitor: its mails may say Auto-Submitted: auto-generated")  # fmt: skip
    listed = leaf(logins, "list", "list them", operation("mail.login.list", "account"), fields=FIELDS, many=True,
                  reasons=True)  # fmt: skip
    listed.add_argument("account", nargs="?", help="of this account only")
    revoke = leaf(logins, "revoke", "let it sign in no more; the account's others stay",
                  operation("mail.login.revoke", "login"), fields=FIELDS, reasons=True)  # fmt: skip
    revoke.add_argument("login", help="its user name, as mail login list shows it")


def _add(args: argparse.Namespace) -> int:
    given = {"label": args.label} if args.label else {}
    said = ask(asking(args), "mail.login.add", account=args.account, senders=args.senders, automatic=args.automatic,
               **given)  # fmt: skip
    if args.json:
        print_json(said)
        return 0
    out(f"Shown once, to be typed into the mail program:\n    user      {said['login']['login']}\n"
        f"    password  {said['password']}")  # fmt: skip
    return 0
