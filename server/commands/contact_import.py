"""contact suppress import: a file of numbers onto the list of those who are not to be contacted."""

from __future__ import annotations

import argparse
from typing import Any

from server.client import ask
from server.commands.base import asking, out, print_json, table, tell
from server.commands.contact_fields import ERROR_FIELDS
from server.failure import Failure
from sms import list_check, lists

AT_ONCE = 10_000  # lines of one request


def run(args: argparse.Namespace) -> int:
    """Two passes: what is wrong is known before anything is entered. Status 1 where nothing was. What else stands in
    the file never leaves this program."""
    try:
        numbers = lists.read_numbers(args.file.read_bytes(), column=args.column)
    except OSError as error:
        raise Failure(f"{args.file}: {error.strerror}", "Name a file that can be read", "invalid") from None
    except lists.ListError as error:
        raise Failure(f"{args.file}: {error.what}", error.remedy, "invalid") from None
    said = _enter(args, numbers)
    refused = bool(said["wrong"]) and not args.partial
    if args.json:
        print_json(said)
    else:
        if said["errors"]:
            tell(table(ERROR_FIELDS, said["errors"]))
        out(f"entered {said['added']}, known before {said['known']}, not usable {said['wrong']}")
        if refused:
            tell("Nothing was entered. Correct these lines, or type it again with --partial.")
    return 1 if refused else 0


def _enter(args: argparse.Namespace, numbers: list[tuple[int, str]]) -> dict[str, Any]:
    """In pieces that a request can hold."""
    scope = {"channel": args.channel} if args.channel is not None else {}
    steps = list_check.entering(numbers, AT_ONCE, partial=args.partial)
    said: dict[str, Any] | None = None
    while True:
        try:
            some, write = steps.send(said)
        except StopIteration as end:
            return dict(end.value)
        said = ask(asking(args), "contact.suppress.import", numbers=some, write=write, **scope)
