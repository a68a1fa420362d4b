"""What all commands share: options, fields of answers, tables that fit into 80 columns. Loads nothing heavy."""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from server.client import Asking, ask
from server.failure import Failure

WIDTH = 80
Row = Mapping[str, Any]
Handler = Callable[[argparse.Namespace], int]
Subparsers = Any  # argparse has no public name for what add_subparsers returns


@dataclass(frozen=True, slots=True)
class Field:
    """One field of an answer. `header`: its column in the table, none where the table leaves it out."""

    name: str
    doc: str
    header: str = ""
    show: Callable[[Any], str] | None = None


class Parser(argparse.ArgumentParser):
    """Makes the list of fields when help is asked for: for all commands that takes longer than most commands do."""

    def format_help(self) -> str:
        if self.epilog is None:
            self.epilog = _epilog(self.get_default("fields") or (), many=bool(self.get_default("many")))
        return super().format_help()


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith("?") else ".")


def leaf(
    group: Subparsers,
    name: str,
    help_: str,
    handler: Handler,
    *,
    fields: Sequence[Field] = (),
    many: bool = False,
    reasons: bool = False,
    details: str = "",
) -> argparse.ArgumentParser:
    """One command. `fields` gives it --json and a list of them under --help; `reasons` gives --reason and --case."""
    parser: argparse.ArgumentParser = group.add_parser(
        name,
        help=help_,
        description=_sentence(help_) + (f" {details}" if details else ""),
        formatter_class=_Formatter,
    )
    common(parser)
    if fields:
        parser.add_argument("--json", action="store_true", help="print JSON with the fields below")
    if reasons:
        parser.add_argument("--reason", metavar="TEXT", help="why: shows numbers and names in clear; is written down")
        parser.add_argument("--case", metavar="TEXT", help="the case it belongs to; is written down")
    parser.set_defaults(handler=handler, fields=fields, many=many)
    return parser


def group(subparsers: Subparsers, name: str, help_: str) -> Subparsers:
    """A subject with commands of its own."""
    parser = subparsers.add_parser(name, help=help_, description=_sentence(help_))
    common(parser)
    return parser.add_subparsers(metavar="COMMAND", required=True, dest=f"{name}_command")


def common(parser: argparse.ArgumentParser) -> None:
    """Options that every command has, before or after its name."""
    parser.add_argument("--data", type=Path, metavar="DIR", default=argparse.SUPPRESS,
                        help="data directory (default: $BEFFROI_DATA)")  # fmt: skip
    parser.add_argument("--verbose", action="store_true", default=argparse.SUPPRESS,
                        help="show where in the program a failure came from")  # fmt: skip


def asking(args: argparse.Namespace) -> Asking:
    """On whose behalf, for `ask`."""
    return Asking(args.data, getattr(args, "reason", None), getattr(args, "case", None))


def operation(op: str, *names: str) -> Handler:
    """A handler that asks for `op` with these arguments, and prints the answer by the command's fields."""

    def run(args: argparse.Namespace) -> int:
        given = {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}
        answer(args, ask(asking(args), op, **given))
        return 0

    return run


def answer(args: argparse.Namespace, said: Any) -> None:
    """Print an answer as the person wants it: JSON, a table, or one record."""
    if getattr(args, "json", False):
        print_json(said)
    elif args.many:
        out(table(args.fields, said))
    else:
        out(record(args.fields, said))


def out(text: str) -> None:
    """To standard output."""
    sys.stdout.write(text if text.endswith("\n") or not text else text + "\n")


def tell(text: str) -> None:
    """To standard error: what is not the answer itself."""
    sys.stderr.write(text + "\n")


_KEPT = "\n\N{ZERO WIDTH JOINER}"  # the latter holds signs of several characters together


def print_json(said: Any) -> None:
    """What json leaves as it is and a terminal obeys (C1, directions) is written as an escape."""
    text = json.dumps(said, ensure_ascii=False, indent=2)
    out("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def plain(text: str) -> str:
    """Without what would steer a terminal: whoever wrote it may be a stranger. Spaces of any width are spaces."""
    return "".join(_harmless(char) for char in text)


def _harmless(char: str) -> str:
    if char.isprintable() or char in _KEPT:
        return char
    return " " if char == "\t" or unicodedata.category(char) == "Zs" else "\N{REPLACEMENT CHARACTER}"


def table(fields: Sequence[Field], rows: Sequence[Row]) -> str:
    """Columns of the fields that have a header; the widest gives way where 80 columns are not enough."""
    columns = [field for field in fields if field.header]
    if not rows:
        return "(none)"
    cells = [[plain(_cell(field, row)) for field in columns] for row in rows]
    widths = [max(_width(line[i]) for line in [[c.header for c in columns], *cells]) for i in range(len(columns))]
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH and max(widths) > 6:
        widths[widths.index(max(widths))] -= 1
    lines = [[column.header for column in columns], *cells]
    return "\n".join("  ".join(_fit(text, w) for text, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def record(fields: Sequence[Field], row: Row) -> str:
    """One field a line."""
    wide = max(len(field.name) for field in fields)
    lines = []
    for field in fields:
        if row.get(field.name) is not None:
            value = _lines(field, row, WIDTH - wide - 2)
            lines += [f"{field.name:<{wide}}  {value[0]}", *(" " * (wide + 2) + more for more in value[1:])]
    return "\n".join(lines)


def _lines(field: Field, row: Row, width: int) -> list[str]:
    """A mapping takes a line for each of its keys."""
    value = row.get(field.name)
    parts = [_cell(field, row, full=True)]
    if isinstance(value, Mapping) and value and field.show is None:
        parts = [f"{key} {_scalar(item)}" for key, item in value.items()]
    return [line for part in parts for line in textwrap.wrap(plain(part), width) or [""]]


def short(identifier: object) -> str:
    """The beginning of an id: enough to name it by."""
    return str(identifier)[:12]


def minutes(text: object) -> str:
    """A time to the minute: `2026-11-21 14:05`."""
    return str(text)[:16].replace("T", " ")


def duration(milliseconds: object) -> str:
    """`3:05`."""
    seconds = int(milliseconds) // 1000 if isinstance(milliseconds, int) else 0
    return f"{seconds // 60}:{seconds % 60:02}"


def words(value: object) -> str:
    """A list as words with commas."""
    return ",".join(str(item) for item in value) if isinstance(value, list | tuple) else str(value)


def many(text: str) -> list[str]:
    """What somebody typed as a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def misuse(what: str, remedy: str) -> Failure:
    """Ends the program with status 2."""
    return Failure(what, remedy, "misuse")


def _cell(field: Field, row: Row, *, full: bool = False) -> str:
    value = row.get(field.name)
    if value is None:
        return "-"
    if field.show is not None and not (full and field.show is short):
        return field.show(value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_scalar(item)}" for key, item in value.items()) or "-"
    return words(value) or "-"


def _scalar(value: object) -> str:
    if isinstance(value, Mapping):
        return " ".join(f"{key}:{_scalar(item)}" for key, item in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return words(value) or "-"


def _fit(text: str, width: int) -> str:
    if _width(text) > width:
        while _width(text) > width - 1:
            text = text[:-1]
        text += "…"
    return text + " " * (width - _width(text))


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


def _epilog(fields: Sequence[Field], *, many: bool) -> str:
    if not fields:
        return ""
    lines = [f"--json prints {'a list of objects' if many else 'an object'} with the fields:"]
    wide = max(len(field.name) for field in fields)
    for field in fields:
        doc = textwrap.wrap(field.doc, WIDTH - wide - 4)
        lines += [f"  {field.name:<{wide}}  {doc[0]}", *(" " * (wide + 4) + more for more in doc[1:])]
    return "\n".join(lines)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Wraps descriptions, leaves the list of fields as it stands."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=WIDTH)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)
