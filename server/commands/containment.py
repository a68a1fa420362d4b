"""person lock, unlock, leave: stop somebody now, or for good."""

from __future__ import annotations

import argparse
from typing import Any

from server.client import ask
from server.commands.base import Field, Subparsers, answer, asking, leaf, minutes, operation, out, table

LOCK_FIELDS = (
    Field("id", "opaque id; what the ledger calls this person"),
    Field("login", "who"),
    Field("locked_at", "since when; null: no more"),
    Field("accounts", "accounts that the lock disables"),
    Field("devices", "phones that are signed off, but for emergency calls; or may sign on again"),
    Field("rooms", "listening rooms that were closed"),
)
LEAVE_FIELDS = (
    Field("id", "opaque id; what the ledger calls this person"),
    Field("login", "who leaves"),
    Field("done", "whether it was done; else it only says what would be"),
    Field("handed_to", "account that takes over; null: nobody"),
    Field("acts", "what was done, or would be: what, named, id of each; empty where nothing was left"),
    Field("kept", "what stays: what, count, until (the last of it), why"),
    Field("warnings", "what somebody has to see to"),
)
_ACTS = (Field("what", "", "WHAT"), Field("named", "", "OF"))
_KEPT = (
    Field("what", "", "KEPT"),
    Field("count", "", "COUNT"),
    Field("until", "", "UNTIL", minutes),
    Field("why", "", "WHY"),
)


def register(people: Subparsers) -> None:
    """Beside the other commands of `person`."""
    lock = leaf(people, "lock", "stop all that is done in a person's name, at once", operation("person.lock", "login"),
                fields=LOCK_FIELDS, reasons=True,
                details="Phones are signed off and keep emergency calls, running calls end (never an emergency call), "
                "listening rooms close. Needs --reason.")  # fmt: skip
    unlock = leaf(people, "unlock", "give back what person lock took, and no more", operation("person.unlock", "login"),
                  fields=LOCK_FIELDS, reasons=True)  # fmt: skip
    leave = leaf(people, "leave", "a person leaves: revoke, hand over, name what stays", _leave, fields=LEAVE_FIELDS,
                 reasons=True,
                 details="Phones, rights, roles and the reader key go; lines, numbers, forwards go to who takes over. "
                 "Recordings and records stay under their own periods. Typed again it does what was left.")  # fmt: skip
    for parser in (lock, unlock, leave):
        parser.add_argument("login")
    how = leave.add_mutually_exclusive_group(required=True)
    how.add_argument("--hand-over", metavar="ACCOUNT", help="account that takes over lines, numbers and calls")
    how.add_argument("--keep", action="store_true", default=None, help="nobody takes over: accounts stay, disabled")
    leave.add_argument("--dry-run", action="store_true", default=None, help="only say what would be done")


def _leave(args: argparse.Namespace) -> int:
    names = ("login", "hand_over", "keep", "dry_run")
    given: dict[str, Any] = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    said = ask(asking(args), "person.leave", **given)
    if args.json:
        answer(args, said)
        return 0
    verb = "done" if said["done"] else "would be done"
    out(
        f"{said['login']}: {len(said['acts'])} acts {verb}" + (f", to {said['handed_to']}" if said["handed_to"] else "")
    )
    out(table(_ACTS, said["acts"]) + "\n")
    out(table(_KEPT, said["kept"]))
    for warning in said["warnings"]:
        out(f"! {warning}")
    return 0
