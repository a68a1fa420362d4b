"""hold: what a case needs is not deleted."""

from __future__ import annotations

import argparse
from datetime import date

from server.commands.base import Field, Subparsers, group, leaf, operation, short


def day(text: object) -> str:
    """`2027-03-01`."""
    return str(text)[:10]


FIELDS = (
    Field("id", "opaque id; its beginning is enough to name it", "ID", short),
    Field("scope", "recording, call, account or number", "ON"),
    Field("named", "what it lies on; a number is masked without --reason", "WHICH"),
    Field("case", "number of the case", "CASE"),
    Field("requested_by", "who asked for it"),
    Field("approved_by", "who approved it"),
    Field("reason", "why"),
    Field("created_at", "since when", "SINCE", day),
    Field("review_at", "when somebody looks at it again", "REVIEW", day),
    Field("lifted_at", "when it was lifted; null: it stands", "LIFTED", day),
    Field("overdue", "whether the day of its review is past", "OVERDUE"),
)


def register(subparsers: Subparsers) -> None:
    hold = group(subparsers, "hold", "legal holds: what a case needs is not deleted")
    add = leaf(hold, "add", "keep something that would expire", operation(
        "hold.add", "scope", "named", "requested_by", "approved_by", "review"), fields=FIELDS, reasons=True,
        details="On a call: with all its recordings. On a number or an account: every call and recording in which it "
        "is heard. It needs --case and --reason.")  # fmt: skip
    add.add_argument("scope", choices=("recording", "call", "account", "number"))
    add.add_argument("named", metavar="WHICH", help="id, account name, or number")
    add.add_argument("--requested-by", required=True, metavar="WHO", help="who asked for it")
    add.add_argument("--approved-by", required=True, metavar="WHO", help="who approved it")
    add.add_argument(
        "--review", required=True, type=_day, metavar="DAY", help="day of the next review, such as 2027-03-01"
    )
    listed = leaf(hold, "list", "list legal holds that stand, newest first", operation("hold.list", "all"),
                  fields=FIELDS, many=True, reasons=True)  # fmt: skip
    listed.add_argument("--all", action="store_true", default=None, help="those that were lifted, too")
    shown = leaf(hold, "show", "show one legal hold", operation("hold.show", "hold"), fields=FIELDS, reasons=True)
    shown.add_argument("hold", metavar="ID", help="id, or its beginning")
    lifted = leaf(hold, "lift", "end a legal hold: what has expired goes with the next sweep",
                  operation("hold.lift", "hold"), fields=FIELDS, reasons=True,
                  details="It needs --reason.")  # fmt: skip
    lifted.add_argument("hold", metavar="ID", help="id, or its beginning")


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("write it as 2027-03-01") from None
