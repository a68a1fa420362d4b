"""calls why: how a call went, and what to do about it."""

from __future__ import annotations

import argparse
import os
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from server.client import ask
from server.commands.base import WIDTH, Field, Subparsers, answer, asking, leaf, minutes, out, print_json, short, table

FIELDS = (
    Field("id", "opaque id of the call"),
    Field("at", "its start, as exact as its class allows; none while it goes on"),
    Field("live", "it goes on"),
    Field("verdict", "id of the most important verdict"),
    Field("says", "that verdict in words"),
    Field("remedy", "what to do about it"),
    Field("mos", "lowest mean opinion score of all legs and directions, 1 to 4.5"),
    Field("verdicts", "all of them: id, kind, leg, says, remedy, values"),
    Field("legs", "figures of each leg; times in microseconds, losses per thousand, none where nobody told"),
    Field("ladder", "who said what to whom: ms, sender, receiver, what"),
    Field("left_out", "steps in the middle that the ladder has no room for"),
    Field("transfers", "how often the call was transferred"),
    Field("troubles", "what the media engine refused"),
    Field("expires_at", "when this is forgotten"),
)
LIST_FIELDS = (
    Field("id", "opaque id of the call", "ID", short),
    Field("at", "its start, as exact as its class allows", "AT", minutes),
    Field("live", "it goes on"),
    Field("mos", "lowest mean opinion score, 1 to 4.5", "MOS"),
    Field("verdict", "id of the verdict"),
    Field("says", "the verdict in words", "VERDICT"),
)
_LEG_COLUMNS = (
    Field("name", "", "LEG"),
    Field("way", "", "WAY"),
    Field("codec", "", "CODEC"),
    Field("packets", "", "PACKETS"),
    Field("loss", "", "LOST"),
    Field("jitter", "", "JITTER"),
    Field("rtt", "", "ROUND TRIP"),
    Field("mos", "", "MOS"),
)


def register_why(calls: Subparsers) -> None:
    """Into the group of `calls`."""
    parser = leaf(
        calls,
        "why",
        "why could somebody not be heard?",
        _run,
        fields=FIELDS,
        details="Verdict and remedy first, then figures. Without ID: the newest calls with their verdicts. Works while "
        "a call goes on, and for calls.diagnosis_days after it.",
    )
    parser.add_argument("call_id", metavar="ID", nargs="?", help="of calls list or calls live; its beginning is enough")
    parser.add_argument("--ladder", action="store_true", help="also who said what to whom, with milliseconds")
    parser.add_argument("--problems", action="store_true", help="without ID: only calls in which something was wrong")
    parser.add_argument("--limit", type=int, metavar="N", help="without ID: at most so many (default 20)")
    parser.add_argument("--language", choices=("fr", "en"), help="of the verdicts (default: that of this terminal)")


def _run(args: argparse.Namespace) -> int:
    language = args.language or _language_of(os.environ)
    if args.call_id is None:
        asked: dict[str, Any] = {"language": language, "problems": args.problems}
        if args.limit is not None:
            asked["limit"] = args.limit
        args.fields, args.many = LIST_FIELDS, True
        answer(args, ask(asking(args), "calls.whys", **asked))
        return 0
    said = ask(asking(args), "calls.why", call_id=args.call_id, language=language)
    if args.json:
        print_json(said)
    else:
        out(shown(said, ladder=args.ladder))
    return 0


def _language_of(environment: Mapping[str, str]) -> str:
    """Of the first of these that is set, as everywhere else (locale(7))."""
    chosen = next((environment[n] for n in ("LC_ALL", "LC_MESSAGES", "LANG") if environment.get(n)), "")
    return "fr" if chosen.lower().startswith("fr") else "en"


def shown(said: Mapping[str, Any], *, ladder: bool) -> str:
    """For people."""
    parts = []
    for verdict in said["verdicts"]:
        parts.append("\n".join([*textwrap.wrap(verdict["says"], WIDTH), *_indented(verdict["remedy"])]))
    if said["troubles"]:
        parts.append("The media engine refused: " + ", ".join(said["troubles"]))
    if said["legs"]:
        parts.append(table(_LEG_COLUMNS, [row for leg in said["legs"] for row in _rows(leg)]))
    if ladder:
        parts.append(_ladder(said["ladder"], said["left_out"]))
    return "\n\n".join(parts)


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="  -> ", subsequent_indent="     ")


def _rows(leg: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One for each way: in is what it sends, out is what it is sent."""
    both = {"name": leg["name"], "codec": leg["codec"] + ("+SRTP" if leg["srtp"] else ""), "rtt": _ms(leg["rtt_us"])}
    return [
        {
            **both,
            "way": "in",
            "packets": leg["rx_packets"],
            "loss": _percent(leg["loss_in_permille"]),
            "jitter": _ms(leg["jitter_in_us"]),
            "mos": leg["mos_in"],
        },
        {
            **both,
            "way": "out",
            "packets": leg["tx_packets"],
            "loss": _percent(leg["loss_out_permille"]),
            "jitter": _ms(leg["jitter_out_us"]),
            "mos": leg["mos_out"],
        },
    ]


def _percent(permille: int | None) -> str | None:
    return None if permille is None else f"{permille / 10:.1f}%"


def _ms(us: int | None) -> str | None:
    return None if us is None else f"{us / 1000:.0f} ms"


def _ladder(rungs: Sequence[Mapping[str, Any]], left_out: int) -> str:
    lines = []
    for rung in rungs:
        at = "later" if rung["ms"] is None else f"{rung['ms']} ms"
        lines.append(f"{at:>10}  {rung['sender']:>9} -> {rung['receiver']:<9}  {rung['what']}")
    if left_out:
        lines.append(f"{'...':>10}  steps in the middle are left out")
    return "\n".join(lines)
