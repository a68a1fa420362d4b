"""contact: whom the law lets be contacted, on whose word, and who is to be left alone."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from server.client import ask
from server.commands import contact_fields as shown
from server.commands import contact_import
from server.commands.base import (
    Subparsers,
    answer,
    asking,
    group,
    leaf,
    misuse,
    operation,
)
from server.failure import Failure

_ACTS = ("dtmf", "utterance", "checkbox", "sms", "signature", "email")
_WAYS = ("dtmf", "utterance", "sms", "link", "agent", "letter", "email")


def register(subparsers: Subparsers) -> None:
    contact = group(subparsers, "contact", "whom the law lets be contacted for canvassing")
    check = leaf(
        contact,
        "check",
        "may this number be called on behalf of that line?",
        operation("contact.check", "number", "line", "at", "channel"),
        fields=shown.CHECK_FIELDS,
        reasons=True,
        details="It counts nothing and calls nobody.",
    )
    check.add_argument("number", metavar="NUMBER")
    check.add_argument("--line", required=True, metavar="NAME", help="a line that canvasses")
    check.add_argument("--at", metavar="TIME", help="such as 2026-11-24T21:00, where the person is (default: now)")
    check.add_argument("--channel", choices=("voice", "sms"), help="default voice")
    _consents(group(contact, "consent", "who has agreed to be contacted"))
    _contracts(group(contact, "contract", "contracts that run, and numbers of professionals"))
    _suppressions(group(contact, "suppress", "who is not to be contacted"))


# --- consents ---------------------------------------------------------------------------------------------------------


def _consents(consents: Subparsers) -> None:
    add = leaf(
        consents,
        "add",
        "write down a consent, with its proof",
        _add_consent,
        fields=shown.CONSENT_FIELDS,
        reasons=True,
        details="Its words are named by an id, a version and the hash of their text or audio.",
    )
    add.add_argument("number", metavar="NUMBER")
    _purpose(add)
    add.add_argument("--channel", choices=("voice", "sms"), help="default voice")
    add.add_argument("--act", required=True, choices=_ACTS, help="what the person did")
    add.add_argument("--collector", required=True, metavar="TEXT", help="who asked")
    add.add_argument("--source", required=True, metavar="TEXT", help="where the proof is: a form, a call")
    add.add_argument("--text-id", required=True, metavar="ID", help="which words were agreed to")
    add.add_argument("--text-version", required=True, metavar="V", help="in which version")
    add.add_argument("--text-file", type=Path, metavar="FILE", help="the words, or their audio: its SHA-256 is kept")
    add.add_argument("--text-sha256", metavar="HEX", help="that hash, where the file is elsewhere")
    add.add_argument("--language", metavar="CODE", help="of the words")
    add.add_argument("--given-at", metavar="TIME", help="when, where the person is (default: now)")
    add.add_argument("--expires-at", metavar="TIME", help="default: as long as the law lets it count")
    add.add_argument(
        "--out-of-hours", action="store_true", default=None, help="an express consent for times that the law leaves out"
    )
    listed = leaf(
        consents,
        "list",
        "list consents, newest first",
        operation("contact.consent.list", "number", "before", "limit"),
        fields=shown.CONSENT_FIELDS,
        many=True,
        reasons=True,
    )
    _listing(listed)
    show = leaf(
        consents,
        "show",
        "show a consent with its proof",
        operation("contact.consent.show", "consent"),
        fields=shown.CONSENT_FIELDS,
        reasons=True,
    )
    show.add_argument("consent", metavar="ID")
    back = leaf(
        consents,
        "withdraw",
        "take a consent back, or all of a number: it holds at once",
        operation("contact.consent.withdraw", "what", "by"),
        fields=shown.CONSENT_FIELDS,
        many=True,
        reasons=True,
    )
    back.add_argument("what", metavar="ID|NUMBER")
    back.add_argument("--by", choices=_WAYS, help="how the person said so (default agent)")


def _add_consent(args: argparse.Namespace) -> int:
    if (args.text_file is None) == (args.text_sha256 is None):
        raise misuse("which words were agreed to?", "Give --text-file FILE, or --text-sha256 HEX")
    digest = args.text_sha256
    if args.text_file is not None:
        try:
            digest = hashlib.sha256(args.text_file.read_bytes()).hexdigest()
        except OSError as error:
            raise Failure(f"{args.text_file}: {error.strerror}", "Name a file that can be read", "invalid") from None
    names = (
        "number",
        "line",
        "purpose",
        "channel",
        "act",
        "collector",
        "source",
        "text_id",
        "text_version",
        "language",
        "given_at",
        "expires_at",
        "out_of_hours",
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    answer(args, ask(asking(args), "contact.consent.add", text_sha256=digest, **given))
    return 0


# --- contracts --------------------------------------------------------------------------------------------------------


def _contracts(contracts: Subparsers) -> None:
    add = leaf(
        contracts,
        "add",
        "write down a contract that runs, a customer, or that the number is a professional's",
        operation(
            "contact.contract.add",
            "number",
            "reference",
            "line",
            "purpose",
            "professional",
            "customer",
            "since",
            "until",
        ),
        fields=shown.CONTRACT_FIELDS,
        reasons=True,
    )
    add.add_argument("number", metavar="NUMBER")
    add.add_argument("--ref", dest="reference", required=True, metavar="TEXT", help="the contract's number")
    _purpose(add)
    add.add_argument(
        "--professional",
        action="store_true",
        default=None,
        help="no contract: the number is a professional's, for lines whose target is ask",
    )
    add.add_argument(
        "--customer",
        action="store_true",
        default=None,
        help="no contract: they have bought something like it, were told that texts would come, and could object; "
        "stands in for consent to texts, --since the last purchase",
    )
    add.add_argument("--since", metavar="TIME", help="default: now")
    add.add_argument("--until", metavar="TIME", help="default, and at most: five years later; of a customer three")
    end = leaf(
        contracts,
        "end",
        "say that it runs no more",
        operation("contact.contract.end", "contract"),
        fields=shown.CONTRACT_FIELDS,
        reasons=True,
    )
    end.add_argument("contract", metavar="ID")
    listed = leaf(
        contracts,
        "list",
        "list them, newest first",
        operation("contact.contract.list", "number", "before", "limit"),
        fields=shown.CONTRACT_FIELDS,
        many=True,
        reasons=True,
    )
    _listing(listed)


# --- who is to be left alone ------------------------------------------------------------------------------------------


def _suppressions(suppress: Subparsers) -> None:
    add = leaf(suppress, "add", "contact a number no more", _add_suppression, fields=shown.SUPPRESSION_FIELDS)
    add.add_argument("number", metavar="NUMBER")
    _scope(add)
    add.add_argument(
        "--because",
        choices=("objection", "refusal", "order"),
        help="objection (default) and order hold until they are taken off; refusal until a new consent",
    )
    add.add_argument("--source", choices=("cli", "call", "sms", "link", "letter", "email"), help="by which way it came")
    add.add_argument("--until", metavar="TIME", help="default: without end")
    remove = leaf(
        suppress,
        "remove",
        "take an entry off, or all of a number; needs --reason",
        operation("contact.suppress.remove", "what", "channel"),
        fields=shown.SUPPRESSION_FIELDS,
        many=True,
        reasons=True,
    )
    remove.add_argument("what", metavar="ID|NUMBER")
    _scope(remove)
    listed = leaf(
        suppress,
        "list",
        "list entries, newest first; they hold no number",
        operation("contact.suppress.list", "number", "before", "limit"),
        fields=shown.SUPPRESSION_FIELDS,
        many=True,
    )
    _listing(listed)
    import_ = leaf(
        suppress,
        "import",
        "enter a file of numbers, one a line, or a column of CSV",
        contact_import.run,
        fields=shown.IMPORT_FIELDS,
        details="All are entered, or none: lines that cannot be used are named, never what stands there.",
    )
    import_.add_argument("file", type=Path, metavar="FILE")
    _scope(import_)
    import_.add_argument("--column", type=int, default=1, metavar="N", help="of a CSV file (default 1)")
    import_.add_argument("--partial", action="store_true", help="enter those that can be used")


def _add_suppression(args: argparse.Namespace) -> int:
    names = ("number", "channel", "source", "until")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    if args.because is not None:
        given["reason_given"] = args.because
    answer(args, ask(asking(args), "contact.suppress.add", **given))
    return 0


# --- options that several have ----------------------------------------------------------------------------------------


def _purpose(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--line", metavar="NAME", help="for the sector of this line")
    parser.add_argument("--purpose", metavar="SECTOR", help="for this sector")


def _scope(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--channel",
        choices=("all", "voice", "sms", "recording"),
        help="default all; recording: may be called, but is never recorded",
    )


def _listing(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--number", metavar="NUMBER", help="of this number only")
    parser.add_argument("--before", metavar="ID", help="those that come after this one in the list, the older ones")
    parser.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
