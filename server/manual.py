"""docs/cli.md, made from the command line itself: `python -m server.manual > docs/cli.md`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from server.cli import parser

_HEAD = """\
# The command line

Made by `python -m server.manual > docs/cli.md`; a test compares the two.

Every command takes `--data DIR` (or `BEFFROI_DATA`) and `--verbose`. It ends with 0 when done, 1 on a failure (one
line on standard error: what, where, what to do), 2 on misuse; `serve` and `edge` end with 78 on a mistake in the
configuration. A running daemon is asked over `run/control.sock`; without one the command takes the data directory's
lock and does the same itself. Passphrases and codes are asked for, or read from a descriptor, never arguments.

Names and numbers are masked unless `--reason` says why they are wanted; each look and each change is one entry in the
access log (`beffroi ledger show`), reason included.
"""


def markdown() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *(_section(name, one) for name, one in _leaves(parser(), "beffroi"))])


def _leaves(top: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in top._actions:  # noqa: SLF001 - argparse shows its parts in no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for word, below in action.choices.items():
                yield from _leaves(below, f"{name} {word}")
            return
    yield name, top


def _section(name: str, command: argparse.ArgumentParser) -> str:
    lines = [f"## {name}", "", command.description or "", ""]
    shown = [action for action in command._actions if action.dest not in ("help", "data", "verbose")]  # noqa: SLF001
    for action in shown:
        text = (action.help or "").replace("|", "\\|")
        lines.append(f"- `{_usage(action)}`" + (f": {text}" if text else ""))
    fields = command.get_default("fields")
    if fields:
        many = "a list of objects" if command.get_default("many") else "an object"
        lines += ["", f"`--json` prints {many}:", "", "| field | |", "|---|---|"]
        lines += [f"| `{field.name}` | {field.doc.replace('|', chr(92) + '|')} |" for field in fields]
    return "\n".join(lines).rstrip() + "\n"


def _usage(action: argparse.Action) -> str:
    value = action.metavar or ("{" + ",".join(map(str, action.choices)) + "}" if action.choices else "")
    if not action.option_strings:
        word = str(action.metavar or action.dest)
        return f"[{word}]" if action.nargs in ("?", "*") else word
    words = " / ".join(action.option_strings)
    takes = action.nargs != 0
    return f"{words} {value or action.dest.upper()}" if takes else words


if __name__ == "__main__":
    sys.stdout.write(markdown())
