"""hold: what a case needs is not deleted."""

from __future__ import annotations

import argparse
from datetime import date

from server.commands.base import Field, Subparsers, asking, group, leaf, operation, out, short
from server.commands.recordings import unlocking


def day(text: object) -> str:
    """`2027-03-01`."""
    return str(text)[:10]


FIELDS = (
    Field("id", "opaque id; its beginning is enough to name it", "ID", short),
    Field("scope", "recording, call, account, number or line", "ON"),
    Field("named", "what it lies on; a number is masked without --reason", "WHICH"),
    Field("case", "number of the case", "CASE"),
    Field("requested_by", "who asked for it"),
    Field("approved_by", "who approved it"),
    Field("reason", "why"),
    Field("created_at", "since when", "SINCE", day),
    Field("review_at", "when somebody looks at it again", "REVIEW", day),
    Field("lifted_at", "when it was lifted; null: it stands", "LIFTED", day),
    Field("overdue", "whether the day of its review is past", "OVERDUE"),
    Field("since", "of a line: calls from this moment on"),
    Field("until", "of a line: calls before this moment; null: those that come, too"),
    Field("recordings", "how many recordings it lies on now"),
    Field("secured", "how many of them a key of its own keeps"),
    Field("state", "flag: it keeps the week's key; partly; secured: the week's key may go; lifted", "STATE"),
)


def register(subparsers: Subparsers) -> None:
    hold = group(subparsers, "hold", "legal holds: what a case needs is not deleted")
    add = leaf(hold, "add", "keep something that would expire", operation(
        "hold.add", "scope", "named", "requested_by", "approved_by", "review", "since", "until"),
        fields=FIELDS, reasons=True,
        details="On a call: with all its recordings. On a number or an account: every call and recording in which it "
        "is heard. On a line: every recording of it in a period, and every record of a call that names its line "
        "(class standard; one of class minimal goes at its time). It needs --case and --reason.")  # fmt: skip
    add.add_argument("scope", choices=("recording", "call", "account", "number", "line"))
    add.add_argument("named", metavar="WHICH", help="id, account name, number, or line")
    add.add_argument("--requested-by", required=True, metavar="WHO", help="who asked for it")
    add.add_argument(
        "--approved-by",
        required=True,
        metavar="WHO",
        help="who approved it: login of a person with the role legal or dpo",
    )
    add.add_argument(
        "--review", required=True, type=_day, metavar="DAY", help="day of the next review, such as 2027-03-01"
    )
    add.add_argument("--since", type=_day, metavar="DAY", help="of a line: from this day on (UTC)")
    add.add_argument("--until", type=_day, metavar="DAY", help="of a line: to the end of this day (UTC)")
    secure = leaf(hold, "secure", "wrap the keys of what is held to one of the hold: week keys may go then", _secure,
                  details="A reader of the purpose unlocks. Opens and plays nothing. It happens by itself whenever a "
                  "reader listens to something of the same purpose.")  # fmt: skip
    secure.add_argument("hold", metavar="ID", help="id, or its beginning")
    secure.add_argument("--as", dest="login", required=True, metavar="LOGIN", help="the reader")
    secure.add_argument("--reason", required=True, metavar="TEXT", help="why; is written down")
    secure.add_argument("--case", metavar="TEXT", help="the case it belongs to; is written down")
    secure.add_argument("--secrets-fd", type=int, metavar="N",
                        help="read passphrase and code, a line each, from descriptor N")  # fmt: skip
    listed = leaf(hold, "list", "list legal holds that stand, newest first", operation("hold.list", "all"),
                  fields=FIELDS, many=True, reasons=True)  # fmt: skip
    listed.add_argument("--all", action="store_true", default=None, help="those that were lifted, too")
    shown = leaf(hold, "show", "show one legal hold", operation("hold.show", "hold"), fields=FIELDS, reasons=True)
    shown.add_argument("hold", metavar="ID", help="id, or its beginning")
    lifted = leaf(hold, "lift", "end a legal hold: what has expired goes with the next sweep",
                  operation("hold.lift", "hold"), fields=FIELDS, reasons=True,
                  details="It needs --reason.")  # fmt: skip
    lifted.add_argument("hold", metavar="ID", help="id, or its beginning")


def _secure(args: argparse.Namespace) -> int:
    from recording.room_terminal import secured_by
    from server.unlock import room

    with room(asking(args), "secure", login=args.login, hold=args.hold) as connection:
        count = secured_by(connection, unlocking(args.secrets_fd))
    out(f"{count} recordings secured. Type: beffroi hold show {args.hold}")
    return 0


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("write it as 2027-03-01") from None
