"""policy simulate: what a version would have done, as numbers, a list and a picture."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from server.client import ask
from server.commands.base import Field, Subparsers, asking, leaf, out, print_json, table, tell
from server.failure import Failure
from server.simulation_picture import picture

FIELDS = (
    Field("number", "of the version"),
    Field("against", "version that it is compared with; null: none is in force, the lines speak for themselves"),
    Field("starts", "from when it would hold"),
    Field("since", "calls from then on"),
    Field("until", "and up to then"),
    Field("calls", "of which there is a record"),
    Field("talked", "of these, conversations: only those can be recorded"),
    Field("recorded", "of these, those that were recorded in fact"),
    Field("untold", "calls of that time of which there is no record (any more): not simulated"),
    Field("unattributed", "calls of which the record does not say who took part, where the version names people"),
    Field("before", "what it is compared with comes to: recorded, asked, may_end, purposes, classes"),
    Field("after", "the same for the version"),
    Field("months", "month, calls, recorded before and after"),
    Field("rows", "line, direction, country, calls, changes, before, after, why: those that change first"),
    Field("rows_left_out", "rows that are not listed"),
    Field("kept", "recordings and call records that are kept now"),
    Field("gone", "kind, pack, how many go earlier, and at once"),
    Field("leaving", "month, how many go in it in all, before and after"),
)
ROWS = (
    Field("line", "", "LINE"),
    Field("direction", "", "DIRECTION"),
    Field("country", "", "COUNTRY"),
    Field("calls", "", "CALLS"),
    Field("before", "", "BEFORE"),
    Field("after", "", "AFTER"),
)


def register(policy: Subparsers) -> None:
    simulate = leaf(
        policy,
        "simulate",
        "what a version would have recorded, asked, logged and deleted, on the calls that there were",
        run,
        fields=FIELDS,
        details="Changes nothing. What is recorded is reckoned as if nobody refused; of a sample it is the share.",
    )
    simulate.add_argument("number", type=int, metavar="NO")
    simulate.add_argument("--against", type=int, metavar="NO", help="another version (default: what is in force)")
    simulate.add_argument("--from", dest="since", metavar="DAY", help="calls from that day on (default: a year ago)")
    simulate.add_argument("--to", dest="until", metavar="DAY", help="calls before that day (default: up to now)")
    simulate.add_argument("--list", action="store_true", help="also list what stays as it is, and why")
    simulate.add_argument("--svg", type=Path, metavar="FILE", help="write a picture")


def run(args: argparse.Namespace) -> int:
    given = {key: getattr(args, key) for key in ("number", "against", "since", "until")}
    said = ask(asking(args), "policy.simulate", **{key: value for key, value in given.items() if value is not None})
    if args.svg is not None:
        _write(args.svg, picture(said))
    if args.json:
        print_json(said)
        return 0
    out("\n".join(_sentences(said)))
    rows = said["rows"] if args.list else [row for row in said["rows"] if row["changes"]]
    if rows:
        out("\n" + table(ROWS, rows))
    if args.list:
        for row in rows:
            out(f"{row['line'] or 'no line'}, {row['direction']}, {row['country'] or 'unknown'}: {row['why']}")
    if said["rows_left_out"]:
        tell(
            f"{said['rows_left_out']} more rows: --json has the first {len(said['rows'])}, narrow it with --from, --to"
        )
    if args.svg is not None:
        tell(f"the picture is in {args.svg}")
    return 0


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error.strerror}", "Name another file", "misuse") from None


def _sentences(said: Mapping[str, Any]) -> list[str]:
    before, after = said["before"], said["after"]
    against = "the lines as they are" if said["against"] is None else f"version {said['against']}"
    found = [
        f"version {said['number']}, compared with {against}, on {said['calls']} calls "
        f"({said['talked']} conversations) from {said['since'][:10]} to {said['until'][:10]}",
        f"recorded, if nobody refuses: {after['recorded']} instead of {before['recorded']}"
        f"{_by(after['purposes'])}; in fact {said['recorded']} were",
        f"asked beforehand: {after['asked']} instead of {before['asked']}",
        f"call records: {_classes(after['classes'])} instead of {_classes(before['classes'])}",
    ]
    if after["may_end"] or before["may_end"]:
        found.append(f"ended where somebody refuses: {after['may_end']} instead of {before['may_end']} could be")
    found += [
        f"of what is kept: {one['earlier']} {one['kind'].replace('_', ' ')}s of {one['pack']} go earlier, "
        f"{one['at_once']} of them when it comes into force"
        for one in said["gone"]
    ] or [f"of what is kept ({said['kept']} items) nothing goes earlier"]
    if said["untold"]:
        found.append(f"not looked at: {said['untold']} calls of that time of which there is no record (any more)")
    if said["unattributed"]:
        found.append(f"of {said['unattributed']} calls the record does not say who took part: rules for accounts and "
                     "groups were not applied to them")  # fmt: skip
    return found


def _by(purposes: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{pack} {count}' for pack, count in purposes.items())})" if purposes else ""


def _classes(classes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in classes.items()) or "none"
