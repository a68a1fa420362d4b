"""line: numbers with a purpose."""

from __future__ import annotations

import argparse

from server.commands.base import Field, Subparsers, group, leaf, many, minutes, operation, words

FIELDS = (
    Field("id", "opaque id"),
    Field("name", "what it is called here", "NAME"),
    Field("number", "what is dialled", "NUMBER"),
    Field("kind", "ring (its members) or echo", "KIND"),
    Field("pack", "policy pack: the purpose of recording, REC_NONE for never", "PACK"),
    Field("consent", "consent mode of the line, stricter than the pack; null: as pack and countries say", "CONSENT"),
    Field("metadata_class", "what remains of a call: none, minimal, standard", "CLASS"),
    Field("language", "language spoken where the caller's is not known"),
    Field("statute", "text of law that a legal duty to record rests on"),
    Field("members", "accounts that ring, in order", "RINGS", words),
    Field("ask_staff", "whether members are asked for consent as well"),
    Field("strategy", "simultaneous: all members ring at once; sequential: one after the other"),
    Field("member_ring_s", "how long each rings, one after the other"),
    Field("canvassing", "sector that calls showing its number canvass for; null: they are ordinary calls"),
    Field("canvassing_target", "consumer, professional, or ask: a consumer unless known as a professional"),
    Field("created_at", "when"),
    Field("disabled_at", "since when it is not served", "DISABLED", minutes),
    Field("warning", "why it will not do all that its settings say; null where it will"),
)
_CONSENT = ("none", "announce", "opt-out", "opt-in", "forbidden")


def register(subparsers: Subparsers) -> None:
    lines = group(subparsers, "line", "lines: numbers with a purpose")
    settings = ("pack", "consent", "metadata_class", "language", "statute", "members", "ask_staff", "strategy",
                "member_ring_s")  # fmt: skip
    add = leaf(lines, "add", "add a line", operation("line.add", "name", "number", "kind", *settings), fields=FIELDS)
    add.add_argument("name", help="what to call it: letters a-z, digits, . _ -")
    add.add_argument("number", help="what is dialled: digits, *, #")
    add.add_argument("--kind", choices=("ring", "echo"), help="ring its members (default), or echo")
    leaf(lines, "list", "list lines", operation("line.list"), fields=FIELDS, many=True)
    change = leaf(lines, "set", "change what is given of a line",
                  operation("line.set", "line", "name", "number", "disabled", "canvassing", "target", *settings),
                  fields=FIELDS,
                  details="An empty text takes --consent, --language or --statute back.")  # fmt: skip
    change.add_argument("line", help="its name or number")
    change.add_argument("--name", metavar="NAME")
    change.add_argument("--number", metavar="DIGITS")
    change.add_argument("--canvassing", metavar="SECTOR",
                        help="calls showing its number canvass for this, and the law is asked; or off")  # fmt: skip
    change.add_argument("--target", choices=("consumer", "professional", "ask"),
                        help="who is canvassed; ask (default): a consumer unless known otherwise")  # fmt: skip
    change.add_argument("--disabled", action=argparse.BooleanOptionalAction, help="not served")
    for parser, empty in ((add, ()), (change, ("",))):
        parser.add_argument("--pack", metavar="ID", help="purpose of recording, such as REC_QUALITY; REC_NONE: never")
        parser.add_argument("--consent", choices=(*_CONSENT, *empty), metavar="MODE",
                            help=f"stricter than the pack: {', '.join(_CONSENT)}")  # fmt: skip
        parser.add_argument("--class", dest="metadata_class", choices=("none", "minimal", "standard"),
                            help="what remains of a call")  # fmt: skip
        parser.add_argument("--language", metavar="CODE", help="fr or en")
        parser.add_argument("--statute", metavar="TEXT", help="the text that imposes recording")
        parser.add_argument("--members", type=many, metavar="LIST", help="accounts that ring, with commas")
        parser.add_argument("--ask-staff", action=argparse.BooleanOptionalAction, help="ask members for consent too")
        parser.add_argument("--strategy", choices=("simultaneous", "sequential"),
                            help="all members ring at once (default), or one after the other")  # fmt: skip
        parser.add_argument("--member-ring", dest="member_ring_s", type=int, metavar="S",
                            help="seconds that each rings, one after the other (default 20)")  # fmt: skip
