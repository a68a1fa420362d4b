"""person and reader: who may do what, and the keys of those who listen."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from server.client import ask
from server.commands import containment, kept
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
    print_json,
    words,
)
from server.failure import Failure

FIELDS = (
    Field("id", "opaque id; what the ledger calls this person"),
    Field("login", "name to sign in and to be named by", "LOGIN"),
    Field("name", "name for people; masked without --reason", "NAME"),
    Field(
        "roles",
        "admin, auditor, compliance, dpo, employee, legal, quality, reader, security, supervisor, "
        "circle (may ask who calls whom)",
        "ROLES",
        words,
    ),
    Field("language", "language of what this person is shown"),
    Field("reader_key", "whether this person has a key to listen with", "KEY"),
    Field("listens_to", "purposes whose recordings this person may open", "LISTENS TO", words),
    Field("created_at", "when"),
    Field("disabled_at", "since when nothing may be done in this person's name", "DISABLED", minutes),
    Field("locked_at", "since when this person is locked; person unlock gives back what the lock took"),
)
INVITED = (
    Field("login", "who is invited"),
    Field("link", "address for a first sign-in: it works once, and whoever opens it is that person"),
    Field("expires_at", "until when", show=minutes),
)
KEPT = (
    Field("login", "whom it is about"),
    Field("name", "name for people; masked without --reason"),
    Field("roles", "what they may do", show=words),
    Field("things", "tables with something of theirs: kind (see retention map), count, since", show=kept.things),
    Field("calls", "call records by class: kind, purpose, legal_basis, count, first_at, last_at, next_expiry, "
          "last_expiry", show=kept.counted),
    Field("texts", "texts that they wrote, that came to their own inbox, that they handled in others; the same fields",
          show=kept.counted),
    Field("recordings", "those in which they are heard, newest first: id, started_at, state, purpose, legal_basis, "
          "expires_at, held, acts, openings (as of recordings openings)", show=kept.recordings),
    Field("more", "whether there are older recordings than those"),
    Field("opened", "how often any recording of them was opened, the older ones included"),
)  # fmt: skip
ENROLLED = (
    Field("person_id", "opaque id"),
    Field("login", "whose key it is"),
    Field("listens_to", "purposes whose recordings this person may open", show=words),
)
_TOTP_BYTES = 20


def register(subparsers: Subparsers) -> None:
    people = group(subparsers, "person", "persons, their roles, and who may listen")
    add = leaf(
        people, "add", "add a person", operation("person.add", "login", "name", "roles", "language"), fields=FIELDS
    )
    add.add_argument("login", help="short name: letters a-z, digits, . _ -")
    add.add_argument("name", help="name for people")
    roles = "admin,dpo,legal,reader,employee,auditor,circle"
    add.add_argument("--roles", type=many, metavar="LIST", help=f"with commas: {roles}")
    add.add_argument("--language", metavar="CODE", help="fr or en")
    leaf(people, "list", "list persons", operation("person.list"), fields=FIELDS, many=True, reasons=True)
    invite = leaf(people, "invite", "make the link for a first sign-in", _invite, fields=INVITED,
                  details="It is shown once and works once, within a day. Of somebody who has signed in before, it"
                  " takes the place of password and second factor when it is used.")  # fmt: skip
    invite.add_argument("login")
    about = leaf(people, "kept", "what is kept about a person, until when, and who listened",
                 operation("person.kept", "login"), fields=KEPT, reasons=True)  # fmt: skip
    about.add_argument("login")
    disable = leaf(people, "disable", "nothing may be opened or changed in this person's name any more",
                   operation("person.disable", "login"), fields=FIELDS, reasons=True)  # fmt: skip
    role = leaf(people, "role", "give a person these roles, in place of the old",
                operation("person.role", "login", "roles"), fields=FIELDS, reasons=True)  # fmt: skip
    grant = leaf(people, "grant", "let a reader listen to recordings of a purpose made from now on",
                 operation("person.grant", "login", "purpose"), fields=FIELDS, reasons=True)  # fmt: skip
    revoke = leaf(people, "revoke", "take that right, and every key it gave",
                  operation("person.revoke", "login", "purpose"), fields=FIELDS, reasons=True)  # fmt: skip
    for parser in (disable, role, grant, revoke):
        parser.add_argument("login")
    role.add_argument("roles", type=many, metavar="LIST", help="with commas")
    for parser in (grant, revoke):
        parser.add_argument("purpose", help="pack id, such as REC_QUALITY")
    containment.register(people)

    readers = group(subparsers, "reader", "keys to listen with")
    enrol = leaf(readers, "enrol", "make a reader's key", _enrol, fields=ENROLLED,
                 details="The passphrase is asked twice; it is sealed here and goes nowhere. "
                 "The TOTP secret is shown once.")  # fmt: skip
    enrol.add_argument("login")
    enrol.add_argument("--replace", action="store_true", help="in place of an older key, which then opens nothing")
    enrol.add_argument("--passphrase-fd", type=int, metavar="N", help="read the passphrase from descriptor N")
    enrol.add_argument("--secrets-fd", type=int, metavar="N", help="write the TOTP secret as JSON to descriptor N")
    enrol.add_argument("--qr", action=argparse.BooleanOptionalAction, help="show a QR code (default: on a terminal)")


def _invite(args: argparse.Namespace) -> int:
    said = ask(asking(args), "person.invite", login=args.login)
    if args.json:
        print_json(said)
        return 0
    out(f"Shown once, for {args.login} alone. It works once, until {minutes(said['expires_at'])}:\n    {said['link']}")
    return 0


def _enrol(args: argparse.Namespace) -> int:
    place = ask(asking(args), "reader.prepare", login=args.login)
    if place["has_key"] and not args.replace:
        raise Failure(f"{args.login} has a key already", "A new one takes its place with --replace", "conflict")
    passphrase = passphrase_twice(args.passphrase_fd)
    public, bundle, totp = _make_key(place["person_id"], passphrase)
    said = ask(asking(args), "reader.enrol", login=args.login, public=public, bundle=bundle, replace=args.replace)
    _show_totp(args, totp)
    answer(args, said)
    return 0


def passphrase_twice(descriptor: int | None) -> str:
    """From a descriptor (first line), or typed twice. Raises Failure."""
    if descriptor is not None:
        return line_from(descriptor)
    import getpass

    first = getpass.getpass("New passphrase (at least 12 characters): ")
    if getpass.getpass("Again: ") != first:
        raise Failure("the two differ", "Start again", "invalid")
    return first


def line_from(descriptor: int) -> str:
    """The first line of a descriptor. Raises Failure."""
    try:
        with os.fdopen(descriptor, encoding="utf-8") as stream:
            return stream.readline().rstrip("\n")
    except OSError:
        raise Failure(f"descriptor {descriptor} cannot be read", "Open it in the shell: 3<file", "misuse") from None


def _make_key(person_id: str, passphrase: str) -> tuple[str, str, str]:
    """Public key and sealed bundle in base64, and the TOTP secret in base32. Raises Failure."""
    import base64
    import secrets

    from recording.keys import generate_reader
    from recording.reader_bundle import ReaderSecret, WeakPassphrase, seal_reader

    totp = base64.b32encode(secrets.token_bytes(_TOTP_BYTES)).decode()
    public, secret = generate_reader()
    try:
        bundle = seal_reader(ReaderSecret(person_id, secret, totp), passphrase)
    except WeakPassphrase as error:
        raise Failure(str(error), "Take several words, or what beffroi quickstart would show", "invalid") from None
    return base64.b64encode(public).decode(), base64.b64encode(bundle).decode(), totp


def _show_totp(args: argparse.Namespace, totp: str) -> None:
    from server.shown_once import otpauth_uri, qr, wants_qr

    if args.secrets_fd is not None:
        import json

        with os.fdopen(args.secrets_fd, "w", encoding="utf-8") as stream:
            said: dict[str, Any] = {"login": args.login, "totp_secret": totp}
            stream.write(json.dumps(said) + "\n")
        return
    uri = otpauth_uri(args.login, totp, "Beffroi")
    # With --json the answer alone goes to standard output.
    text = f"Shown once, for the authenticator program:\n    TOTP secret  {totp}\n"
    if wants_qr(sys.stderr if args.json else sys.stdout, args.qr):
        text += "\n" + qr(uri)
    if args.json:
        sys.stderr.write(text)
    else:
        out(text)
