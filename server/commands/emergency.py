"""emergency: the calls for help that there were, and whether one would go out now."""

from __future__ import annotations

from server.commands.base import Field, Subparsers, group, leaf, minutes, operation, short, words

FIELDS = (
    Field("id", "opaque id of the call", "ID", short),
    Field("at", "when it was dialled", "AT", minutes),
    Field("account", "who called; null: not known", "ACCOUNT"),
    Field("number", "number of the service", "NUMBER"),
    Field("trunk", "trunk that carried it", "TRUNK"),
    Field("drill", "whether it was an exercise", "DRILL"),
    Field(
        "outcome",
        "running, or how it ended; relayed: by the edge alone, without the daemon",
        "OUTCOME",
    ),
    Field("told", "accounts whose telephone has taken the message about it", "TOLD", words),
    Field("missed", "accounts named in emergency.notify that were not reached", "NOT TOLD", words),
)
CHECK_FIELDS = (
    Field("account", "whose call", "ACCOUNT"),
    Field("sound", "whether an emergency call would go out now", "GOES OUT"),
    Field("trunks", "ways in the order in which they are tried, and how each is", "BY", words),
    Field("presented", "number that the service sees and can call back; masked without --reason", "PRESENTED"),
    Field("location", "Geolocation header that is sent along"),
    Field("reserve", "workers that are kept for emergency calls"),
    Field("told", "accounts that are told of it"),
    Field("last_drill", "last exercise in this account's name", "LAST DRILL", minutes),
    Field("problems", "what stands in the way, and what is missing", "PROBLEMS", words),
)
DRILL_FIELDS = (
    Field("id", "id under which it is listed"),
    Field("account", "in whose name"),
    Field("told", "accounts that are being told"),
)


def register(subparsers: Subparsers) -> None:
    emergency = group(subparsers, "emergency", "calls for help")
    listed = leaf(emergency, "list", "list emergency calls and drills, newest first",
                  operation("emergency.list", "limit"), fields=FIELDS, many=True)  # fmt: skip
    listed.add_argument("--limit", type=int, metavar="N", help="at most so many (default 50)")
    checked = leaf(emergency, "check", "say for each account whether an emergency call would go out now",
                   operation("emergency.check", "account"), fields=CHECK_FIELDS, many=True, reasons=True)  # fmt: skip
    checked.add_argument("--account", metavar="NAME", help="of this account only")
    tried = leaf(emergency, "drill", "an exercise in an account's name: written down and told, nothing leaves",
                 operation("emergency.drill", "account"), fields=DRILL_FIELDS,
                 details="From a telephone: dial * and the emergency number.")  # fmt: skip
    tried.add_argument("account", metavar="NAME", help="account name or extension")
