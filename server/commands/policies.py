"""policy: what the company records and keeps, in versions that somebody has approved."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from server.client import ask
from server.commands import simulation
from server.commands.base import (
    Field,
    Subparsers,
    answer,
    asking,
    group,
    leaf,
    minutes,
    operation,
    out,
    print_json,
    short,
    table,
    words,
)
from server.failure import Failure

FIELDS = (
    Field("number", "of the version", "NO"),
    Field("state", "draft, approved (it waits), in force, superseded, discarded, or altered", "STATE"),
    Field("valid_from", "its date; approval: the moment of the last approval", "FROM", minutes),
    Field("in_force_since", "since when it holds, or from when it did", "IN FORCE", minutes),
    Field("rules", "name, pack, scope and own values of each", "RULES", lambda rules: str(len(rules))),
    Field("author", "who wrote it: a login, or what the ledger calls them"),
    Field("created_at", "when"),
    Field("approved_by", "logins of those who have approved it", "APPROVED BY", words),
    Field("approvals_needed", "how many have to"),
    Field("sha256", "of its canonical body: what was approved"),
    Field("problems", "of a draft: all that stands against it, with rule, value, limit and remedy",
          show=lambda problems: str(len(problems))),
    Field("may_approve", "whether whoever asks may, once nothing stands against it; shown of one version"),
)  # fmt: skip
NEED_FIELDS = (
    Field("id", "opaque id of the entry, null: nobody has entered it; its beginning names it", "ID", short),
    Field("kind", "which precondition", "PRECONDITION"),
    Field("pack", "which pack requires it", "PACK"),
    Field("line", "for which line alone", "LINE"),
    Field("what", "what has to be done"),
    Field("proof", "what is entered as evidence"),
    Field("evidence", "what was entered; hidden without --reason"),
    Field("done_by", "who did it; hidden without --reason"),
    Field("done_on", "on which day", "DONE"),
    Field("entered_at", "when it was entered"),
    Field("entered_by", "what the ledger calls whoever entered it"),
    Field("withdrawn_at", "since when it counts no more", "WITHDRAWN", minutes),
)
EVENT_FIELDS = (
    Field("at", "when", "AT", minutes),
    Field("number", "of the version", "NO"),
    Field("event", "drafted, approved, in force, superseded, discarded", "EVENT"),
    Field("who", "a login, or what the ledger calls them", "WHO"),
)
VERDICT_FIELDS = (
    Field("number", "of the version", "NO"),
    Field("sound", "body, approvals and access log agree", "SOUND"),
    Field("findings", "what does not", "FINDINGS", words),
)
_SCOPE = ("line", "account", "group", "direction", "country")
_VALUES = ("pack", *_SCOPE, "retention", "consent", "silence", "ask_staff", "rate", "window", "statute")


def register(subparsers: Subparsers) -> None:
    policy = group(subparsers, "policy", "what is recorded and kept: one policy, in versions that are approved")
    leaf(policy, "list", "list all versions, newest first", operation("policy.list"), fields=FIELDS, many=True)
    shown = leaf(policy, "show", "show a version, and what stands against a draft", _show("policy.show", "number"),
                 fields=FIELDS)  # fmt: skip
    shown.add_argument("number", type=int, nargs="?", metavar="NO", help="default: the newest")
    _drafting(policy)
    simulation.register(policy)
    approve = leaf(
        policy,
        "approve",
        "approve a version, as data protection officer",
        _show("policy.approve", "number", "login"),
        fields=FIELDS,
        details="Its hash goes into the access log. From then on it is superseded, never changed.",
    )
    approve.add_argument("number", type=int, metavar="NO")
    approve.add_argument("--as", dest="login", required=True, metavar="LOGIN", help="a person with the role dpo")
    leaf(policy, "history", "what became of the policy, oldest first", operation("policy.history"),
         fields=EVENT_FIELDS, many=True)  # fmt: skip
    leaf(policy, "verify", "compare all approved versions with the access log", _verify, fields=VERDICT_FIELDS,
         many=True)  # fmt: skip
    export = leaf(policy, "export", "print a version as one file", _export)
    export.add_argument("number", type=int, nargs="?", metavar="NO", help="default: the newest")
    imported = leaf(policy, "import", "make a draft of such a file", _import, fields=FIELDS)
    imported.add_argument("file", type=Path, metavar="FILE")
    imported.add_argument("--as", dest="login", metavar="LOGIN", help="who writes it")
    _preconditions(policy)


def _drafting(policy: Subparsers) -> None:
    draft = leaf(policy, "draft", "begin a new version", _show("policy.draft", "from_lines", "copy", "login"),
                 fields=FIELDS)  # fmt: skip
    of = draft.add_mutually_exclusive_group()
    of.add_argument("--from-lines", action="store_true", default=None, help="of what the lines say today")
    of.add_argument("--copy", type=int, metavar="NO", help="of another version's rules")
    draft.add_argument("--as", dest="login", metavar="LOGIN", help="who writes it")
    set_ = leaf(policy, "set", "change a draft: its date, or one rule",
                _show("policy.set", "number", "rule", "remove", "valid_from", *_VALUES), fields=FIELDS,
                details="A rule that is not there yet is added. An empty text takes a value back.")  # fmt: skip
    set_.add_argument("number", type=int, metavar="NO")
    set_.add_argument("--from", dest="valid_from", metavar="DAY",
                      help="2027-01-01 (UTC), 2027-01-01T08:00+01:00, or: approval")  # fmt: skip
    set_.add_argument("--rule", metavar="NAME", help="the rule that the following is about")
    set_.add_argument("--remove", action="store_true", default=None, help="take the rule away")
    set_.add_argument("--pack", metavar="ID", help="which pack it binds")
    set_.add_argument("--line", metavar="NAME", help="calls by this line")
    set_.add_argument("--account", metavar="NAME", help="calls of this account")
    set_.add_argument("--group", metavar="LINE", help="calls of whoever is a member of this line")
    set_.add_argument("--direction", choices=("internal", "inbound", "outbound", ""), help="calls of this direction")
    set_.add_argument("--country", metavar="CC", help="calls with somebody in this country")
    set_.add_argument("--retention", metavar="PERIOD", help="such as P3M, within the pack's limits")
    set_.add_argument(
        "--consent", metavar="MODE", help="announce, opt-out, opt-in or forbidden: stricter than the pack"
    )
    set_.add_argument("--silence", choices=("do_not_record", ""), help="what no key means, where it is stricter")
    set_.add_argument("--ask-staff", action=argparse.BooleanOptionalAction, help="ask staff as anybody else")
    set_.add_argument("--rate", metavar="SHARE", help="share of the calls that is recorded, such as 3%%")
    set_.add_argument("--window", metavar="PERIOD", help="over which the share is counted, such as P1M")
    set_.add_argument("--statute", metavar="TEXT", help="the text that imposes recording")
    discard = leaf(policy, "discard", "give a draft up", _show("policy.discard", "number"), fields=FIELDS)
    discard.add_argument("number", type=int, metavar="NO")


def _preconditions(policy: Subparsers) -> None:
    needs = leaf(policy, "needs", "what packs require beforehand, and what was entered", _needs, fields=NEED_FIELDS,
                 many=True, reasons=True)  # fmt: skip
    needs.add_argument("--pack", metavar="ID", help="of this pack (default: of all)")
    enter = leaf(policy, "enter", "enter that something was done beforehand", operation(
        "policy.enter", "kind", "pack", "line", "evidence", "done_by", "done_on"), fields=NEED_FIELDS,
        details="An entry is never changed: it is withdrawn, and another is made.")  # fmt: skip
    enter.add_argument("kind", metavar="PRECONDITION", help="as policy needs shows it")
    enter.add_argument("--pack", required=True, metavar="ID", help="for which pack; * for all that require it")
    enter.add_argument("--line", metavar="NAME", help="for this line alone")
    enter.add_argument("--evidence", required=True, metavar="TEXT", help="where it is to be read; is sealed")
    enter.add_argument("--by", dest="done_by", required=True, metavar="WHO", help="who did it; is sealed")
    enter.add_argument("--on", dest="done_on", required=True, type=_day, metavar="DAY", help="such as 2026-11-30")
    withdraw = leaf(policy, "withdraw", "an entry counts no more: what rests on it is not recorded",
                    operation("policy.withdraw", "entry"), fields=NEED_FIELDS, reasons=True,
                    details="It needs --reason.")  # fmt: skip
    withdraw.add_argument("entry", metavar="ID", help="id, or its beginning")


def _show(op: str, *names: str) -> Any:
    """A handler that shows a version with its rules, and problems with their remedies, a line each."""

    def run(args: argparse.Namespace) -> int:
        given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
        said = ask(asking(args), op, **given)
        answer(args, said)
        if not args.json:
            for one in said["rules"]:
                out(f"rule {one['name']}: {_rule(one)}")
            for problem in said["problems"]:
                out(f"! {_problem(problem)}")
        return 0

    return run


def _rule(rule: Mapping[str, Any]) -> str:
    scope = [f"{key} {rule[key]}" for key in _SCOPE if key in rule]
    rest = {key: value for key, value in rule.items() if key not in ("name", "pack", *_SCOPE)}
    if "per_mille" in rest:
        rest["rate"] = f"{rest.pop('per_mille') / 10:g}%"
    own = [f"{key} {'yes' if value is True else value}" for key, value in rest.items()]
    return ", ".join([rule["pack"], " ".join(scope) or "every call", *own])


def _problem(problem: Mapping[str, str]) -> str:
    where = f"rule {problem['rule']}, " if problem["rule"] else ""
    value = f" {problem['value']}" if problem["value"] else ""
    limit = f" (limit {problem['limit']})" if problem["limit"] else ""
    return f"{where}{problem['key']}{value}{limit}: {problem['message']}. {problem['remedy']}."


def _needs(args: argparse.Namespace) -> int:
    said = ask(asking(args), "policy.needs", **({"pack": args.pack} if args.pack else {}))
    if args.json:
        print_json(said)
        return 0
    out(table(NEED_FIELDS, said))
    for kind, what, proof in dict.fromkeys((one["kind"], one["what"], one["proof"]) for one in said):
        out(f"{kind}: {what} ({proof})")
    return 0


def _verify(args: argparse.Namespace) -> int:
    said = ask(asking(args), "policy.verify")
    answer(args, said)
    return 0 if all(one["sound"] for one in said) else 1


def _export(args: argparse.Namespace) -> int:
    said = ask(asking(args), "policy.export", **({"number": args.number} if args.number is not None else {}))
    out(said["document"])
    return 0


def _import(args: argparse.Namespace) -> int:
    try:
        document = args.file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Failure(f"{args.file} cannot be read", "Name a file that beffroi policy export wrote", "misuse") from None
    given = {"login": args.login} if args.login else {}
    answer(args, ask(asking(args), "policy.import", document=document, **given))
    return 0


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("write it as 2026-11-30") from None
