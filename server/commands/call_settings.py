"""account forward, dnd, call-waiting, present: what is chosen for an account."""

from __future__ import annotations

import argparse

from server.client import ask
from server.commands.base import Field, Subparsers, answer, asking, leaf, misuse, operation

FIELDS = (
    Field("account", "the account"),
    Field("always", "where its calls go; numbers masked without --reason, like all that follow"),
    Field("busy", "where they go while it talks"),
    Field("no_answer", "where they go when nobody answers"),
    Field("unregistered", "where they go when none of its phones is registered"),
    Field("no_answer_s", "after how many seconds nobody has answered"),
    Field("dnd", "do not disturb: its phones stay silent"),
    Field("call_waiting", "whether it is called while it talks"),
    Field("hidden", "whether its number is hidden from whom it calls"),
    Field("presented", "number shown to whom it calls outside; null: its own, or the trunk's main number"),
)
_WHICH = ("always", "busy", "no-answer", "unregistered", "all")


def register(accounts: Subparsers) -> None:
    """Below `account`."""
    forward = leaf(
        accounts,
        "forward",
        "send its calls elsewhere; without options show where they go",
        operation("account.forward", "name", "always", "busy", "no_answer", "unregistered", "off", "no_answer_s"),
        fields=FIELDS,
        reasons=True,
        details="TARGET is an account, a line, or a number as it is dialled here.",
    )
    forward.add_argument("name")
    forward.add_argument("--always", metavar="TARGET", help="without ringing it")
    forward.add_argument("--busy", metavar="TARGET", help="while it talks")
    forward.add_argument("--no-answer", metavar="TARGET", help="when nobody answers")
    forward.add_argument("--unregistered", metavar="TARGET", help="when none of its phones is registered")
    forward.add_argument("--off", action="append", choices=_WHICH, metavar="WHICH",
                         help=f"no longer; one of {', '.join(_WHICH)}; again for more")  # fmt: skip
    forward.add_argument("--no-answer-after", dest="no_answer_s", type=int, metavar="S",
                         help="seconds until nobody has answered (1 to 120)")  # fmt: skip
    for word, help_ in (
        ("dnd", "do not disturb: its phones stay silent"),
        ("call-waiting", "whether it is called while it talks"),
    ):
        switch = leaf(accounts, word, help_, _switch, fields=FIELDS, reasons=True)
        switch.add_argument("name")
        switch.add_argument("on", choices=("on", "off"), metavar="on|off")
        switch.set_defaults(op=f"account.{word}")
    present = leaf(accounts, "present", "choose the number that is shown to whom it calls outside", _present,
                   fields=FIELDS, reasons=True)  # fmt: skip
    present.add_argument("name")
    present.add_argument("number", nargs="?", help="one of its own, or a shared one")
    present.add_argument("--hidden", action="store_true", help="show none")
    present.add_argument("--default", action="store_true", help="its own, or the trunk's main number")


def _switch(args: argparse.Namespace) -> int:
    answer(args, ask(asking(args), args.op, name=args.name, on=args.on == "on"))
    return 0


def _present(args: argparse.Namespace) -> int:
    if (args.number is not None) + args.hidden + args.default != 1:
        raise misuse("it is not said what to show", "Give one of: a number, --hidden, --default")
    given = {"number": args.number} if args.number is not None else {}
    answer(args, ask(asking(args), "account.present", name=args.name, hidden=args.hidden, **given))
    return 0
