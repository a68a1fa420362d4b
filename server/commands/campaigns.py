"""campaign: texts to many, each once, to whoever may be written to."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from server.client import ask
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
    record,
    short,
    table,
    tell,
    words,
)
from server.commands.texts import QUOTE_FIELDS, euros
from server.failure import Failure

AT_ONCE = 2000  # lines of one request
TOLD = 20  # lines that are printed


def sums(value: Any) -> str:
    """`no_consent 12, hours 3`."""
    return ", ".join(f"{name} {count}" for name, count in value.items()) or "-"


FIELDS = (
    Field("name", "what it is called", "NAME"),
    Field("id", "opaque id; what the ledger calls it"),
    Field("inbox", "inbox that it is written from; replies go there", "INBOX"),
    Field("sender", "address that it comes from; a number is masked"),
    Field("message_class", "marketing, or transactional", "CLASS"),
    Field("sector", "what consents have to be for"),
    Field("target", "consumer, professional, or ask: each number is a consumer's unless it is known as another"),
    Field("language", "of the words that are added to it"),
    Field("state", "draft, importing, checked, waiting, approved, running, paused, done, cancelled", "STATE"),
    Field("why", "why it stands still or has ended: altered, fault, sender, over"),
    Field("recipients", "lines of its list", "LIST"),
    Field("per_minute", "messages a minute at most"),
    Field("starts_at", "not before then", "STARTS", minutes),
    Field("ends_at", "not after then", "ENDS", minutes),
    Field("created_by", "who has written it"),
    Field("approved_by", "who has approved it"),
    Field("approved_sha256", "seal on what was approved: words, sender, class and every line of the list"),
    Field("template", "its words; only where it is shown, written or edited"),
    Field("transliterated", "whether what the GSM alphabet lacks is replaced in them; where they stand"),
    Field("may", "what whoever asks may do with it: read, change, stop; where its words stand", show=words),
    Field("created_at", "when it was written"),
    Field("updated_at", "when something happened to it last"),
    Field("expires_at", "when it goes, with its list"),
)
STATS = (
    Field("name", "what it is called"),
    Field("state", "as campaign list"),
    Field("why", "as campaign list"),
    Field("recipients", "lines of its list"),
    Field("waiting", "whose turn has not come"),
    Field("later", "who may not be written to now, but will be"),
    Field("refused", "who gets nothing: see by_ground"),
    Field("cancelled", "who gets nothing because it was cancelled"),
    Field("queued", "messages that wait for a carrier"),
    Field("sent", "messages that the network has or had"),
    Field("delivered", "messages that arrived"),
    Field("failed", "messages that did not"),
    Field("unknown", "messages of which nobody knows"),
    Field("replies", "texts that came in answer"),
    Field("opt_outs", "of them STOP"),
    Field("opt_out_per_mille", "STOP to a thousand that were delivered; null before any was"),
    Field("by_ground", "why lines wait or get nothing", show=sums),
    Field("next_at", "when it is the next one's turn", show=minutes),
)
MEASURE = (
    Field("words", "as they would be read, fields by their names"),
    Field("before", "what is put before them: who sends it"),
    Field("after", "what is put after them: how to stop it"),
    Field("fields", "that the list has to fill in", show=", ".join),
    Field("parts", "that they take, if each value has ten letters"),
    Field("coding", "alphabet: gsm7 (160 characters alone, 153 in each of several), or ucs2 (70, 67)"),
    Field("units", "characters, as the alphabet counts them"),
    Field("forced", "characters that made it ucs2", show=" ".join),
    Field("sender", "address that it would come from"),
)
LINES = (
    Field("line", "of the list that was imported", "LINE"),
    Field("state", "waiting, later, taken, refused, cancelled", "STATE"),
    Field("why", "sector, suppressed, no_consent, refused, hours, attempts, caller, no_rule, template, over", "WHY"),
    Field("due_at", "when it is their turn", "TURN", minutes),
    Field("message_id", "id of their message, as sms show takes it", "MESSAGE", short),
)
PREVIEW = (
    Field("line", "of the list", "LINE"),
    Field("words", "as it would be read; what the list says of persons only with --reason", "WORDS"),
    Field("problem", "why it cannot be written", "PROBLEM"),
)
SIMULATION = (
    Field("name", "what it is called"),
    Field("state", "as campaign list: a draft that was simulated is checked"),
    Field("at", "as if it began then", show=minutes),
    Field("recipients", "lines of its list"),
    Field("at_once", "who may be written to at that moment"),
    Field("later", "who may not then, but before it ends"),
    Field("never", "who gets nothing"),
    Field("by_ground", "why not, or not at once: as campaign lines, and too long", show=sums),
    Field("parts", "parts of all messages together"),
    Field("most_parts", "parts of the longest"),
    Field("codings", "messages by alphabet: gsm7 (160 characters) or ucs2 (70)", show=sums),
    Field("cost_microeuros", "what they cost by the first carrier, in millionths of a euro", show=euros),
    Field("without_carrier", "messages that no carrier takes"),
    Field("per_minute", "messages a minute at most"),
    Field("ends_at", "when the last one has their turn; null: not all before it ends", show=minutes),
    Field("hours_profile", "the hours that the company has bound itself to"),
    Field("lines", "the first 1000 who get nothing or not at once: line, ground, why, again_at"),
)
SIMULATED = (
    Field("line", "", "LINE"),
    Field("ground", "", "GROUND"),
    Field("again_at", "", "AGAIN", minutes),
    Field("why", "", "WHY"),
)
WRITTEN = (
    Field("written", "lines of the list now"),
    Field("wrong", "lines that cannot be used"),
    Field("errors", "the lines that cannot be used: line, column, problem, remedy; never what stands there"),
    Field("state", "as campaign list"),
)
ERRORS = (
    Field("line", "", "LINE"),
    Field("column", "", "COLUMN"),
    Field("problem", "", "PROBLEM"),
    Field("remedy", "", "REMEDY"),
)


def register(subparsers: Subparsers) -> None:
    campaigns = group(subparsers, "campaign", "texts to many, each once, to whoever may be written to")
    _add(campaigns)
    _measure(campaigns)
    edit = leaf(campaigns, "edit", "give it other words; it is a draft again", _edited, fields=FIELDS)
    edit.add_argument("--transliterate", dest="transliterated", action="store_true", default=None,
                      help="replace what the GSM alphabet lacks")  # fmt: skip
    imported = leaf(campaigns, "import", "give it its list, CSV or XLSX", _imported, fields=WRITTEN,
                    details="Other columns become fields of its words: {prénom}. A list with errors is not written,"
                    " and no number twice.")  # fmt: skip
    imported.add_argument("file", type=Path, metavar="FILE")
    imported.add_argument("--column", metavar="NAME", help="the one with the number, where its name does not tell")
    imported.add_argument("--skip-errors", action="store_true", help="leave out what cannot be used, and say which")
    simulate = leaf(campaigns, "simulate", "say who would get it, who not and why, its cost and its end", _simulated,
                    fields=SIMULATION, details="Nothing is sent.")  # fmt: skip
    simulate.add_argument("--at", metavar="TIME", help="as if it began then (default: when it is to begin, or now)")
    preview = leaf(campaigns, "preview", "show its first lines as they would be read",
                   operation("campaign.preview", "login", "name", "lines"), fields=PREVIEW, many=True,
                   reasons=True)  # fmt: skip
    preview.add_argument("--lines", type=int, metavar="N", help="so many (default 3)")
    test = leaf(campaigns, "test", "send one text of it to a telephone of yours",
                operation("campaign.test", "login", "name", "to", "line"), fields=QUOTE_FIELDS, reasons=True,
                details="It counts for nothing in the campaign, and whoever gets it has agreed to it.")  # fmt: skip
    test.add_argument("--to", required=True, metavar="NUMBER")
    test.add_argument("--line", type=int, metavar="N", help="with the fields of this line (default: the first)")
    acts = {
        "submit": "say that what was simulated is to be sent",
        "approve": "approve it, as somebody who has written nothing of it; then nothing of it changes",
        "start": "let it run",
        "pause": "hold it; what is queued already goes out",
        "resume": "let it run on",
        "cancel": "end it; what is queued is not sent either",
        "show": "show it, with its words",
    }
    parsers = [edit, imported, simulate, preview, test]
    for name, says in acts.items():
        act = leaf(campaigns, name, says, operation(f"campaign.{name}", "login", "name"), fields=FIELDS)
        parsers.append(act)
    parsers.append(leaf(campaigns, "stats", "figures of a campaign", operation("campaign.stats", "login", "name"),
                        fields=STATS))  # fmt: skip
    progress = leaf(campaigns, "progress", "watch it until it ends or stands still", _progress, fields=STATS)
    progress.add_argument("--every", type=float, default=2.0, metavar="SECONDS", help="between two looks (default 2)")
    lines = leaf(campaigns, "lines", "show what became of each line of its list; no number",
                 operation("campaign.lines", "login", "name", "state", "limit"), fields=LINES, many=True)  # fmt: skip
    lines.add_argument("--state", metavar="STATE", help="those in this state only")
    lines.add_argument("--limit", type=int, metavar="N", help="at most so many (default 100)")
    for parser in (*parsers, progress, lines):
        parser.add_argument("name", metavar="NAME")
        _as(parser)
    listed = leaf(campaigns, "list", "list campaigns, newest first",
                  operation("campaign.list", "login", "state", "limit"), fields=FIELDS, many=True)  # fmt: skip
    listed.add_argument("--state", metavar="STATE", help="those in this state only")
    listed.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
    _as(listed)


def _as(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--as", dest="login", required=True, metavar="LOGIN", help="in whose name")


def _add(campaigns: Subparsers) -> None:
    add = leaf(campaigns, "add", "write a campaign; its words are read from standard input", _added, fields=FIELDS,
               details="{prénom} in them is filled in from the column of that name. Advertising is given who sends it"
               " and how to stop it.")  # fmt: skip
    add.add_argument("name", metavar="NAME")
    _as(add)
    add.add_argument("--inbox", required=True, metavar="NAME", help="inbox that it is written from; replies go there")
    add.add_argument("--class", dest="message_class", choices=("marketing", "transactional"), help="default marketing")
    add.add_argument("--sector", metavar="NAME", help="what consents have to be for (default other)")
    add.add_argument("--target", choices=("consumer", "professional", "ask"), help="default ask")
    add.add_argument("--from", dest="sender", metavar="ADDRESS", help="where the inbox has more than one")
    add.add_argument("--language", metavar="CODE", help="of the words that are added (default: the inbox's)")
    add.add_argument("--per-minute", type=int, metavar="N", help="messages a minute at most (default 60)")
    add.add_argument("--starts", dest="starts_at", metavar="TIME", help="not before then, such as 2026-12-01T09:00")
    add.add_argument("--ends", dest="ends_at", metavar="TIME", help="not after then (default: a week later)")
    add.add_argument("--transliterate", dest="transliterated", action="store_true", default=None,
                     help="replace what the GSM alphabet lacks")  # fmt: skip


def _measure(campaigns: Subparsers) -> None:
    measure = leaf(campaigns, "measure", "say what is added to words, and how many parts they take", _measured,
                   fields=MEASURE, details="The words are read from standard input; nothing is kept.")  # fmt: skip
    _as(measure)
    measure.add_argument("--inbox", required=True, metavar="NAME", help="inbox that it would be written from")
    measure.add_argument("--class", dest="message_class", choices=("marketing", "transactional"),
                         help="default marketing")  # fmt: skip
    measure.add_argument("--from", dest="sender", metavar="ADDRESS", help="where the inbox has more than one")
    measure.add_argument("--language", metavar="CODE", help="of the words that are added (default: the inbox's)")
    measure.add_argument("--transliterate", dest="transliterated", action="store_true", default=None,
                         help="replace what the GSM alphabet lacks")  # fmt: skip


def _measured(args: argparse.Namespace) -> int:
    names = ("login", "inbox", "message_class", "sender", "language", "transliterated")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    answer(args, ask(asking(args), "campaign.measure", template=_words(), **given))
    return 0


def _added(args: argparse.Namespace) -> int:
    names = ("login", "inbox", "name", "message_class", "sector", "target", "sender", "language", "per_minute",
             "starts_at", "ends_at", "transliterated")  # fmt: skip
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    answer(args, ask(asking(args), "campaign.add", template=_words(), **given))
    return 0


def _edited(args: argparse.Namespace) -> int:
    given = {} if args.transliterated is None else {"transliterated": args.transliterated}
    answer(args, ask(asking(args), "campaign.edit", login=args.login, name=args.name, template=_words(), **given))
    return 0


def _words() -> str:
    if sys.stdin.isatty():
        sys.stderr.write("Its words, then Ctrl-D:\n")
    return sys.stdin.read().rstrip("\n")


def _imported(args: argparse.Namespace) -> int:
    """Two passes: what is wrong is known before anything is written."""
    from sms import list_check, lists

    try:
        sheet = lists.read(args.file.read_bytes(), column=args.column)
    except OSError as error:
        raise Failure(f"{args.file}: {error.strerror}", "Name a file that can be read", "invalid") from None
    except lists.ListError as error:
        raise Failure(f"{args.file}: {error.what}", error.remedy, "invalid") from None
    whose, check = {"login": args.login, "name": args.name}, list_check.Check(sheet)
    for some in check.pieces(AT_ONCE):
        said = ask(asking(args), "campaign.look", numbers=some, **whose)
        wrong = [(one["line"], one["problem"], one["remedy"]) for one in said["errors"]]
        check.looked([(line, number) for line, number in said["numbers"]], wrong)
    errors = [
        {"line": one.line, "column": one.column, "problem": one.problem, "remedy": one.remedy} for one in check.errors
    ]
    refused = check.refuses(skip=args.skip_errors)
    state, written = "draft", 0
    for rows in () if refused else check.rows(AT_ONCE):
        ends = {"first": not written, "last": written + len(rows) >= check.usable}
        state = ask(asking(args), "campaign.write", rows=rows, **ends, **whose)["state"]
        written += len(rows)
    if args.json:
        print_json({"written": written, "wrong": len(errors), "errors": errors, "state": state})
    else:
        if errors:
            tell(table(ERRORS, errors[:TOLD]) + (f"\n... and {len(errors) - TOLD} more" if len(errors) > TOLD else ""))
        out(f"written {written}, not usable {len(errors)}")
        if refused:
            tell("Nothing was written. Correct these lines, or type it again with --skip-errors.")
    return 1 if not written else 0


def _simulated(args: argparse.Namespace) -> int:
    given = {"at": args.at} if args.at else {}
    said = ask(asking(args), "campaign.simulate", login=args.login, name=args.name, **given)
    if args.json:
        print_json(said)
        return 0
    lines = said["lines"]
    out(record(SIMULATION[:-1], said))
    if lines:
        out("\n" + table(SIMULATED, lines[:TOLD]))
    if len(lines) > TOLD:
        tell(f"... and more: with --json the first {len(lines)}")
    return 0


def _progress(args: argparse.Namespace) -> int:
    while True:
        said = ask(asking(args), "campaign.stats", login=args.login, name=args.name)
        out(
            f"{said['state']}: {said['recipients']} in all, {said['waiting']} waiting, {said['later']} later,"
            f" {said['refused']} refused, {said['queued']} queued, {said['sent']} sent, {said['delivered']} delivered"
        )
        if said["state"] != "running":
            return 0
        time.sleep(max(0.2, args.every))
