"""calls stats and calls circle: how many, and who with whom."""

from __future__ import annotations

import argparse
from datetime import date

from server.client import ask
from server.commands.base import Field, Subparsers, answer, asking, leaf, minutes, operation, tell

GROUPS = (
    Field("group", "the day, hour, direction ...; others: groups that are too small to be told apart", "GROUP"),
    Field("calls", "how many; never fewer than retention.min_group", "CALLS"),
)
CIRCLE = (
    Field("other", "with whom, masked without --full", "WITH"),
    Field("calls", "how many", "CALLS"),
    Field("inbound", "of these, how many came from there", "FROM"),
    Field("outbound", "how many went there", "TO"),
    Field("last_at", "the last of them", "LAST", minutes),
)


def register(calls: Subparsers) -> None:
    stats = leaf(calls, "stats", "count calls by groups that are too large to name anybody",
                 _stats, fields=GROUPS, many=True,
                 details="Of finished weeks (Monday to Sunday, UTC) whose records are all still there. Groups of fewer "
                 "than retention.min_group calls or persons are others. There are no figures by person.")  # fmt: skip
    stats.add_argument("--by", required=True, choices=("day", "hour", "direction", "country", "line", "trunk"),
                       help="what a group has in common")  # fmt: skip
    stats.add_argument("--from", dest="since", type=_day, metavar="DAY", help="of weeks from this day on")
    stats.add_argument("--to", dest="until", type=_day, metavar="DAY", help="of weeks that are over by this day")
    circle = leaf(calls, "circle", "show with whom an account has had calls",
                  operation("calls.circle", "account", "login", "full"), fields=CIRCLE, many=True, reasons=True,
                  details="A right of its own: the role circle. It needs --reason and --case, and is written down, "
                  "also where it is refused. Of records that still hold their numbers. Protected accounts and lines "
                  "are never in it.")  # fmt: skip
    circle.add_argument("account", help="name or extension")
    circle.add_argument("--as", dest="login", required=True, metavar="LOGIN", help="who asks: a person with that role")
    circle.add_argument("--full", action="store_true", default=None, help="numbers in clear")


def _stats(args: argparse.Namespace) -> int:
    given = {key: getattr(args, key) for key in ("by", "since", "until") if getattr(args, key) is not None}
    said = ask(asking(args), "calls.stats", **given)
    answer(args, said)
    if not said:
        tell("no finished week has enough calls and persons to be told of without naming anybody (retention.min_group)")
    return 0


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError("write it as 2027-03-01") from None
