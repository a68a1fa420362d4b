"""limits, and account limits: what may be spent on calls outside."""

from __future__ import annotations

import argparse
import re

from server.commands.base import Field, Subparsers, group, leaf, many, operation, words

FIELDS = (
    Field("owner", "default, an account or a trunk"),
    Field("international", "whether it may call abroad; null here and below: as the default, then the configuration"),
    Field("premium", "whether it may call numbers at a raised tariff"),
    Field("countries", "countries beside the own that it may call", show=words),
    Field("minutes_per_day", "minutes outside in a day; 0 sets no limit, here and below"),
    Field("minutes_per_month", "minutes outside in a calendar month"),
    Field("cents_per_day", "what it may spend in a day, by the rates"),
    Field("cents_per_month", "what it may spend in a calendar month"),
    Field("max_calls", "calls outside at once"),
    Field("minutes_today", "used today (UTC), begun minutes"),
    Field("minutes_this_month", "used this month"),
    Field("cents_today", "spent today, by the rates"),
    Field("cents_this_month", "spent this month"),
    Field("alerts", "limits of which limits.alert_at_percent is used", show=words),
)
_NAMES = ("international", "premium", "countries", "minutes_per_day", "minutes_per_month", "cents_per_day",
          "cents_per_month", "max_calls", "inherit")  # fmt: skip
_INHERITED = {name.replace("cents", "euros").replace("_", "-"): name for name in _NAMES[:-1]}


def register(subparsers: Subparsers) -> None:
    limits = group(subparsers, "limits", "what may be spent on calls outside, by default and by trunk")
    show = leaf(limits, "show", "show the default, or a trunk's", operation("limits.show", "trunk"), fields=FIELDS)
    change = leaf(limits, "set", "change what is given of the default, or of a trunk's",
                  operation("limits.set", "trunk", *_NAMES), fields=FIELDS)  # fmt: skip
    for parser in (show, change):
        parser.add_argument("--trunk", metavar="NAME", help="of this trunk")
    _options(change)


def register_account(accounts: Subparsers) -> None:
    """`account limits`."""
    of = leaf(accounts, "limits", "change what it may spend on calls outside; without options show it",
              operation("account.limits", "name", *_NAMES), fields=FIELDS)  # fmt: skip
    of.add_argument("name")
    _options(of)


def _options(parser: argparse.ArgumentParser) -> None:
    yes_no = argparse.BooleanOptionalAction
    parser.add_argument("--international", action=yes_no, help="calls abroad")
    parser.add_argument("--premium", action=yes_no, help="numbers at a raised tariff")
    parser.add_argument("--countries", type=many, metavar="LIST", help="countries allowed beside the own: BE,CH")
    parser.add_argument("--minutes-per-day", type=int, metavar="N", help="0 sets no limit")
    parser.add_argument("--minutes-per-month", type=int, metavar="N")
    parser.add_argument("--euros-per-day", dest="cents_per_day", type=_cents, metavar="X", help="such as 12.50")
    parser.add_argument("--euros-per-month", dest="cents_per_month", type=_cents, metavar="X")
    parser.add_argument("--max-calls", type=int, metavar="N", help="calls outside at once")
    parser.add_argument("--inherit", type=_inherited, metavar="LIST",
                        help=f"as the default again: {', '.join(_INHERITED)}")  # fmt: skip


def _cents(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,6})(?:[.,]([0-9]{1,2}))?", text)
    if found is None:
        raise argparse.ArgumentTypeError("write it as 12 or 12.50")
    return int(found[1]) * 100 + int((found[2] or "0").ljust(2, "0"))


def _inherited(text: str) -> list[str]:
    try:
        return [_INHERITED[word] for word in many(text)]
    except KeyError:
        raise argparse.ArgumentTypeError(f"choose among {', '.join(_INHERITED)}") from None
