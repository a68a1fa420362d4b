"""alert: what is worth somebody's look, what to do about it, and what it turned out to be."""

from __future__ import annotations

import argparse

from server.client import ask
from server.commands.base import Field, Subparsers, answer, asking, group, leaf, minutes, operation, out, short, words

FIELDS = (
    Field("id", "opaque id", "ID", short),
    Field("severity", "critical, warning, note", "SEVERITY"),
    Field("kind", "what has happened: alert rules", "KIND"),
    Field("count", "how often", "COUNT"),
    Field("first_at", "when first"),
    Field("last_at", "when last, UTC", "LAST", minutes),
    Field("lasts", "whether it is still so"),
    Field("state", "open, acknowledged", "STATE"),
    Field("verdict", "the last verdict: false_alarm, real_danger, misuse", "VERDICT"),
    Field("subject", "opaque id of whom or what it is about; null: the house"),
    Field("waiting", "channels that have not taken it yet", show=words),
)
DETAIL_FIELDS = (
    Field("id", "opaque id"),
    Field("kind", "what has happened"),
    Field("severity", "critical, warning, note"),
    Field("state", "open, acknowledged"),
    Field("says", "in plain words"),
    Field("count", "how often"),
    Field("first_at", "when first"),
    Field("last_at", "when last"),
    Field("lasts", "whether it is still so"),
    Field("again", "how often it was opened again after a verdict"),
    Field("about", "what the subject is: none, person, trunk, hold, account or trunk"),
    Field("subject", "opaque id of whom or what it is about; the ledger's name of them"),
    Field("named", "login, account or trunk of that id; null: a user of this machine, or gone"),
    Field("verdict", "the last verdict"),
    Field("judged_by", "opaque id of whose verdict it is"),
    Field("judged_at", "when"),
    Field("note", "what they wrote"),
    Field("waiting", "channels that have not taken it yet", show=words),
    Field("kept_until", "until when it is kept"),
)
RULE_FIELDS = (
    Field("kind", "name of the kind", "KIND"),
    Field("severity", "critical, warning, note", "SEVERITY"),
    Field("tell", "roles that are written to", "TELL", words),
    Field("thresholds", "what has to be reached", "THRESHOLDS"),
    Field("says", "in plain words"),
)
RUNBOOK_FIELDS = (
    Field("kind", "what has happened"),
    Field("severity", "critical, warning, note"),
    Field("says", "in plain words"),
    Field("means", "what it may be"),
    Field("steps", "what to do, in order"),
    Field("commands", "what to type"),
)
TEST_FIELDS = (
    Field("id", "opaque id of the alert"),
    Field("channels", "ways that it goes", show=words),
    Field("running", "whether the daemon runs, which tells it; else it is told when the daemon starts"),
)


def register(subparsers: Subparsers) -> None:
    found = group(subparsers, "alert", "alerts: what is worth a look, and what to do about it")
    listing = leaf(found, "list", "list open alerts, the newest first", operation("alert.list", "all", "limit"),
                   fields=FIELDS, many=True)  # fmt: skip
    listing.add_argument("--all", action="store_true", default=None, help="those with a verdict too")
    listing.add_argument("--limit", type=int, metavar="N", help="at most so many (default 100)")
    show = leaf(found, "show", "all about one alert, and what to do", _show, fields=DETAIL_FIELDS)
    ack = leaf(found, "ack", "say what it was; it opens again when it happens again",
               operation("alert.ack", "alert", "verdict", "note"), fields=DETAIL_FIELDS)  # fmt: skip
    for parser in (show, ack):
        parser.add_argument("alert", metavar="ID", help="its id, or the beginning of it")
    ack.add_argument("--verdict", required=True, choices=("false_alarm", "real_danger", "misuse"))
    ack.add_argument("--note", metavar="TEXT", help="what was found; it lies sealed")
    leaf(found, "test", "send an alert all its ways, to see that it arrives", operation("alert.test"),
         fields=TEST_FIELDS)  # fmt: skip
    rules = leaf(found, "rules", "every kind of alert, with the thresholds that hold now",
                 operation("alert.rules", "language"), fields=RULE_FIELDS, many=True)  # fmt: skip
    book = leaf(found, "runbook", "what to do about a kind of alert", _runbook, fields=RUNBOOK_FIELDS)
    book.add_argument("kind", metavar="KIND", help="as alert list shows it")
    for parser in (show, rules, book):
        parser.add_argument("--language", choices=("fr", "en"), help="default: the company's first")


def _language(args: argparse.Namespace) -> dict[str, str]:
    return {"language": args.language} if args.language else {}


def _show(args: argparse.Namespace) -> int:
    said = ask(asking(args), "alert.show", alert=args.alert, **_language(args))
    answer(args, said)
    if not args.json:
        out("")
        _print_book(ask(asking(args), "alert.runbook", kind=said["kind"], **_language(args)))
    return 0


def _runbook(args: argparse.Namespace) -> int:
    said = ask(asking(args), "alert.runbook", kind=args.kind, **_language(args))
    if args.json:
        answer(args, said)
    else:
        out(f"{said['kind']} ({said['severity']})\n{said['says']}\n")
        _print_book(said)
    return 0


def _print_book(said: dict[str, object]) -> None:
    steps, commands = said["steps"], said["commands"]
    assert isinstance(steps, list) and isinstance(commands, list)
    lines = [str(said["means"]), *(f"{number}. {step}" for number, step in enumerate(steps, 1))]
    out("\n".join([*lines, *(f"    {command}" for command in commands)]))
