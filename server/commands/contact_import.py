"""contact suppress import: a file of numbers onto the list of those who are not to be contacted."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from server.client import ask
from server.commands.base import asking, out, print_json, table, tell
from server.commands.contact_fields import ERROR_FIELDS
from server.failure import Failure
from sms.lists import column_of_numbers

AT_ONCE = 10_000


def run(args: argparse.Namespace) -> int:
    """Two passes: what is wrong is known before anything is entered. Status 1 where nothing was."""
    numbers = list(_numbers(args.file, args.column))
    scope = {"channel": args.channel} if args.channel is not None else {}
    looked = _send(args, numbers, {**scope, "write": False})
    refused = bool(looked["wrong"]) and not args.partial
    said = {**looked, "added": 0} if refused else {**_send(args, numbers, {**scope, "write": True})}
    if args.json:
        print_json(said)
    else:
        if said["errors"]:
            tell(table(ERROR_FIELDS, said["errors"]))
        out(f"entered {said['added']}, known before {said['known']}, not usable {said['wrong']}")
        if refused:
            tell("Nothing was entered. Correct these lines, or type it again with --partial.")
    return 1 if refused else 0


def _send(args: argparse.Namespace, numbers: list[tuple[int, str]], how: dict[str, Any]) -> dict[str, Any]:
    """In pieces that a request can hold."""
    sums: dict[str, Any] = {"added": 0, "known": 0, "wrong": 0, "errors": []}
    for at in range(0, len(numbers), AT_ONCE):
        said = ask(asking(args), "contact.suppress.import", numbers=numbers[at : at + AT_ONCE], **how)
        sums = {name: sums[name] + said[name] for name in sums}
    return sums


def _numbers(path: Path, column: int) -> Iterator[tuple[int, str]]:
    """Line and number; what else stands in the file never leaves this program. Raises Failure."""
    try:
        text = path.read_text(encoding="utf-8-sig", errors="replace")
    except OSError as error:
        raise Failure(f"{path}: {error.strerror}", "Name a file that can be read", "invalid") from None
    return column_of_numbers(text, column)
