"""account and device: what calls and is called, and the phones it uses."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from server.client import ask
from server.commands import call_settings, limits
from server.commands.base import (
    Field,
    Subparsers,
    asking,
    group,
    leaf,
    minutes,
    operation,
    out,
    print_json,
    record,
    table,
    words,
)


def _registered(contacts: list[str]) -> str:
    return words(contacts) or "no"


FIELDS = (
    Field("id", "opaque id"),
    Field("name", "SIP user part; also dialled by it", "NAME"),
    Field("extension", "digits it is dialled by", "EXT"),
    Field("display_name", "name for people; masked without --reason", "SHOWN AS"),
    Field("person", "login of whom it belongs to", "PERSON"),
    Field("country", "where it is (ISO 3166): decides about consent", "CC"),
    Field("language", "language it is spoken to in"),
    Field("metadata_class", "none, minimal or standard; null: as the line", "CLASS"),
    Field("devices", "how many phones it has, revoked ones not counted", "PHONES"),
    Field("created_at", "when"),
    Field("disabled_at", "since when it neither calls nor is called", "DISABLED", minutes),
)
DEVICE_FIELDS = (
    Field("id", "opaque id"),
    Field("account", "account it belongs to", "ACCOUNT"),
    Field("label", "what people call it; masked without --reason", "LABEL"),
    Field("user", "user name that the phone signs on with", "USER"),
    Field("registered", "where it is registered now, addresses masked without --reason; null: not known",
          "REGISTERED", _registered),
    Field("created_at", "when", "SINCE", minutes),
    Field("revoked_at", "since when it may not sign on", "REVOKED", minutes),
)  # fmt: skip
DETAIL_FIELDS = (
    Field("account", "the account, with the fields of account list"),
    Field("devices", "its devices, with the fields of device list"),
    Field("settings", "what is chosen for it, with the fields of account forward"),
    Field("numbers", "its numbers outside; masked without --reason"),
)
REMOVED_FIELDS = (
    Field("account", "the account as it was, with the fields of account list"),
    Field("receipt", "the signed receipt of its destruction: see ledger receipt"),
)
NEW_DEVICE_FIELDS = (
    Field("device", "the device, with the fields of device list"),
    Field("domain", "SIP domain to type in"),
    Field("password", "password to type in; it is not shown again"),
)
OFFER_FIELDS = (
    Field("device", "the device, with the fields of device list", show=lambda device: str(device["user"])),
    Field("domain", "SIP domain to type in"),
    Field("server", "server, or outbound proxy, with its port: by TLS"),
    Field("password", "password to type in; it is not shown again"),
    Field("link", "where the phone fetches its configuration, once"),
    Field("expires_at", "until when", show=minutes),
)


def register(subparsers: Subparsers) -> None:
    accounts = group(subparsers, "account", "accounts: what calls and is called")
    names = ("name", "extension", "display_name", "person", "country", "language", "metadata_class")
    add = leaf(accounts, "add", "add an account", operation("account.add", *names), fields=FIELDS)
    add.add_argument("name", help="SIP user part: letters a-z, digits, . _ -")
    add.add_argument("extension", help="digits to dial it by")
    add.add_argument("--display-name", metavar="TEXT", help="name for people")
    add.add_argument("--person", metavar="LOGIN", help="whom it belongs to")
    add.add_argument("--country", metavar="CC", help="where it is (default FR)")
    add.add_argument("--language", metavar="CODE", help="fr or en")
    add.add_argument("--class", dest="metadata_class", choices=("none", "minimal", "standard"),
                     help="what remains of its calls (default: as the line)")  # fmt: skip
    leaf(accounts, "list", "list accounts", operation("account.list"), fields=FIELDS, many=True, reasons=True)
    show = leaf(accounts, "show", "show an account with its phones", _show, fields=DETAIL_FIELDS, reasons=True)
    show.add_argument("name")
    give = leaf(accounts, "give", "give an account that belongs to nobody to a person",
                operation("account.give", "name", "person", "display_name"), fields=FIELDS, reasons=True,
                details="From now on its calls and phones are theirs. What it did before stays nobody's.")  # fmt: skip
    give.add_argument("name")
    give.add_argument("person", help="login of whom it will belong to")
    give.add_argument("--display-name", metavar="TEXT", help="name for people (default: that of the person)")
    for word, help_ in (
        ("disable", "let it call nobody but emergency services, and end its calls"),
        ("enable", "take disable back; its phones sign on by themselves"),
    ):
        one = leaf(accounts, word, help_, operation(f"account.{word}", "name"), fields=FIELDS, reasons=True)
        one.add_argument("name")
    call_settings.register(accounts)
    limits.register_account(accounts)
    remove = leaf(accounts, "remove", "remove an account with its phones; gives the receipt of it", _remove,
                  fields=REMOVED_FIELDS, reasons=True)  # fmt: skip
    remove.add_argument("name")

    devices = group(subparsers, "device", "phones: one credential each, revocable alone")
    new = leaf(devices, "add", "make a credential for one more phone", _add_device, fields=NEW_DEVICE_FIELDS,
               details="The password is shown once.")  # fmt: skip
    new.add_argument("account")
    new.add_argument("--label", metavar="TEXT", help="what to call it")
    new.add_argument("--qr", action=argparse.BooleanOptionalAction, help="show a QR code (default: on a terminal)")
    offer = leaf(
        devices,
        "offer",
        "make a credential that a phone fetches by itself",
        operation("device.offer", "account", "label"),
        fields=OFFER_FIELDS,
        details="The link is good once, for ten minutes; the password is shown once. The daemon has to run.",
    )
    offer.add_argument("account")
    offer.add_argument("--label", metavar="TEXT", help="what to call it")
    listed = leaf(devices, "list", "list phones", operation("device.list", "account"), fields=DEVICE_FIELDS,
                  many=True, reasons=True)  # fmt: skip
    listed.add_argument("account", nargs="?", help="of this account only")
    revoke = leaf(devices, "revoke", "sign a phone off for good; the account's others stay",
                  operation("device.revoke", "user"), fields=DEVICE_FIELDS, reasons=True)  # fmt: skip
    revoke.add_argument("user", help="its user name, as device list shows it")


def _show(args: argparse.Namespace) -> int:
    said = ask(asking(args), "account.show", name=args.name)
    if args.json:
        print_json(said)
        return 0
    out(record(FIELDS, said["account"]))
    out("\n" + table(DEVICE_FIELDS, said["devices"]))
    out("\n" + record(call_settings.FIELDS, said["settings"]))
    if said["numbers"]:
        out(f"\nnumbers  {words(said['numbers'])}")
    return 0


def _remove(args: argparse.Namespace) -> int:
    said = ask(asking(args), "account.remove", name=args.name)
    if args.json:
        print_json(said)
    else:
        out(f"{record(FIELDS, said['account'])}\n\ngone, receipt {said['receipt']} (beffroi ledger receipt)")
    return 0


def _add_device(args: argparse.Namespace) -> int:
    label: dict[str, Any] = {"label": args.label} if args.label else {}
    said = ask(asking(args), "device.add", account=args.account, **label)
    if args.json:
        print_json(said)
        return 0
    from config import settings
    from config.paths import Paths
    from server.shown_once import device_uri, qr, wants_qr
    from server.welcome import tls_port

    user, password, domain = said["device"]["user"], said["password"], said["domain"]
    out(f"Shown once, to be typed into the phone:\n    user      {user}\n"
        f"    password  {password}\n    domain    {domain}")  # fmt: skip
    if wants_qr(sys.stdout, args.qr):
        port = tls_port(settings.load(Paths(args.data).config))
        out("\n" + qr(device_uri(user, password, domain, port)))
    return 0
