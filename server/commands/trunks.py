"""trunk: the providers that calls go out by and come in from."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from server.client import ask
from server.commands.base import (
    Field,
    Subparsers,
    answer,
    asking,
    group,
    leaf,
    misuse,
    operation,
    out,
    print_json,
    words,
)
from server.commands.people import line_from

FIELDS = (
    Field("id", "opaque id; what the ledger and metrics call it"),
    Field("name", "what it is called here", "NAME"),
    Field("enabled", "whether calls use it"),
    Field("state", "registered, not registered, answers, does not answer, not known yet, disabled; "
          "null: the daemon does not run", "STATE"),
    Field("host", "name or address that requests go to", "HOST"),
    Field("port", "its port", "PORT"),
    Field("transport", "udp, tcp or tls", "BY"),
    Field("srtp", "whether audio is encrypted"),
    Field("ipv6", "whether audio goes over IPv6"),
    Field("domain", "the provider's SIP domain"),
    Field("register", "whether we register there"),
    Field("user", "user name there; a number is masked without --reason"),
    Field("realm", "realm that the password is for"),
    Field("password", "whether one is known (its digest)"),
    Field("sources", "addresses that its calls come from", show=words),
    Field("preference", "the lowest is tried first", "PREF"),
    Field("weight", "share among those of one preference"),
    Field("channels", "calls at once", "CHANNELS"),
    Field("main_number", "number shown where the caller has none of its own; masked without --reason", "MAIN NUMBER"),
    Field("format", "how numbers are written to it: plus, 00, national"),
    Field("created_at", "when"),
    Field("warning", "why it may not do all that is expected of it; null where it will"),
    Field("ended", "calls that were ended with it; null: none was to be"),
)  # fmt: skip
TEST_FIELDS = (
    Field("name", "the trunk"),
    Field("sound", "whether nothing was found that keeps calls from passing"),
    Field("findings", "check, verdict (ok, note, wrong), what, remedy of each"),
)
_NAMES = (
    *("host", "port", "transport", "srtp", "ipv6", "domain", "register", "user", "realm", "sources", "preference"),
    *("weight", "channels", "main_number", "format"),
)


def register(subparsers: Subparsers) -> None:
    trunks = group(subparsers, "trunk", "trunks: the providers that calls go out by and come in from")
    add = leaf(trunks, "add", "add a trunk", _add, fields=FIELDS, details="The password is asked for where --user is "
               "given, turned into a digest, and kept nowhere.")  # fmt: skip
    add.add_argument("name", help="what to call it: letters a-z, digits, . _ -")
    leaf(trunks, "list", "list trunks, the preferred first, and how they are", operation("trunk.list"), fields=FIELDS,
         many=True, reasons=True)  # fmt: skip
    change = leaf(trunks, "set", "change what is given of a trunk", _set, fields=FIELDS, reasons=True,
                  details="Another --user or --realm has the password asked for again. An empty text takes "
                  "--user or --main-number back.")  # fmt: skip
    change.add_argument("trunk", metavar="NAME")
    change.add_argument("--name", metavar="NEW", help="call it otherwise")
    change.add_argument("--password", action="store_true", help="have another password asked for")
    for parser, needed in ((add, True), (change, False)):
        _options(parser, needed=needed)
    for word, help_ in (
        ("enable", "let calls use it again"),
        ("disable", "let no new call use it; running ones go on, or end with --hang-up"),
        ("remove", "remove it with its password, limits and sums; its numbers stay"),
    ):
        one = leaf(trunks, word, help_, operation(f"trunk.{word}", "trunk", "hang_up"), fields=FIELDS, reasons=True)
        one.add_argument("trunk", metavar="NAME")
        if word == "disable":
            one.add_argument("--hang-up", action="store_true", default=None,
                             help="end its calls too, but for emergency calls")  # fmt: skip
    test = leaf(trunks, "test", "ask the provider whether it answers and takes the password", _test,
                fields=TEST_FIELDS,
                details="Changes nothing there or here. Ends with 1 where something is wrong.")  # fmt: skip
    test.add_argument("trunk", metavar="NAME")


def _options(parser: argparse.ArgumentParser, *, needed: bool) -> None:
    yes_no = argparse.BooleanOptionalAction
    parser.add_argument("--host", metavar="HOST", required=needed, help="name or address of the provider")
    parser.add_argument("--port", type=int, metavar="N", help="default 5061 for tls, else 5060")
    parser.add_argument("--transport", choices=("udp", "tcp", "tls"), help="default tls")
    parser.add_argument("--srtp", action=yes_no, help="encrypt audio (default: with tls)")
    parser.add_argument("--ipv6", action=yes_no, help="audio over IPv6")
    parser.add_argument("--domain", metavar="NAME", help="the provider's SIP domain (default: the host)")
    parser.add_argument(
        "--register",
        action=yes_no,
        help="register there, so that calls come in (default for a new one: where --user is given)",
    )
    parser.add_argument("--user", metavar="USER", help="user name there; not needed where it knows our address")
    parser.add_argument("--realm", metavar="TEXT", help="realm of the password (default: the domain)")
    parser.add_argument("--password-fd", type=int, metavar="N", help="read the password from descriptor N")
    parser.add_argument("--source", dest="sources", action="append", metavar="CIDR",
                        help="address or network that its calls come from; again for more")  # fmt: skip
    parser.add_argument("--preference", type=int, metavar="N", help="the lowest is tried first (default 10)")
    parser.add_argument("--weight", type=int, metavar="N", help="share among those of one preference (default 100)")
    parser.add_argument("--channels", type=int, metavar="N", help="calls at once (default 30)")
    parser.add_argument("--main-number", metavar="+NUMBER", help="shown where the caller has none of its own")
    parser.add_argument("--format", choices=("plus", "00", "national"), help="how numbers are written to it")


def _add(args: argparse.Namespace) -> int:
    if args.password_fd is not None and not args.user:
        raise misuse("a password belongs to a user", "Give it with --user")
    given = _given(args)
    if args.user:
        given["password"] = _password(args)
    answer(args, ask(asking(args), "trunk.add", name=args.name, **given))
    return 0


def _set(args: argparse.Namespace) -> int:
    given = _given(args)
    if args.name is not None:
        given["name"] = args.name
    if args.password or args.password_fd is not None or args.user or args.realm is not None:
        given["password"] = _password(args)
    answer(args, ask(asking(args), "trunk.set", trunk=args.trunk, **given))
    return 0


def _given(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: getattr(args, name) for name in _NAMES if getattr(args, name) is not None}
    if args.sources == [""]:
        given["sources"] = []
    return given


def _password(args: argparse.Namespace) -> str:
    """Of the provider's account. Raises Failure."""
    if args.password_fd is not None:
        said = line_from(args.password_fd)
    elif sys.stdin.isatty():
        import getpass

        said = getpass.getpass("Password that the provider gave: ")
    else:
        raise misuse("the password cannot be asked for: this is no terminal", "Give it with --password-fd N")
    if not said:
        raise misuse("the password is empty", "Leave --user out where the provider asks for none")
    return said


def _test(args: argparse.Namespace) -> int:
    said = ask(asking(args), "trunk.test", trunk=args.trunk)
    if args.json:
        print_json(said)
    else:
        from server import doctor
        from server.checks.finding import Finding

        out(doctor.text([Finding(**one) for one in said["findings"]]))
    return 0 if said["sound"] else 1
