"""number: the numbers that the company is called by."""

from __future__ import annotations

from server.commands.base import Field, Subparsers, group, leaf, operation

FIELDS = (
    Field("id", "opaque id; what the ledger calls it"),
    Field("number", "in international form; masked without --reason", "NUMBER"),
    Field("account", "account that calls to it reach", "ACCOUNT"),
    Field("line", "line that calls to it reach", "LINE"),
    Field("trunk", "trunk that it belongs to; null: any", "TRUNK"),
    Field("shared", "whether every account may show it", "SHARED"),
    Field("warning", "what cannot be done with it; null: all can"),
)


def register(subparsers: Subparsers) -> None:
    numbers = group(subparsers, "number", "numbers that the company is called by")
    add = leaf(numbers, "add", "say where calls to a number lead",
               operation("number.add", "number", "account", "line", "trunk", "shared"), fields=FIELDS)  # fmt: skip
    add.add_argument("number", metavar="+NUMBER")
    add.add_argument("--account", metavar="NAME", help="to this account")
    add.add_argument("--line", metavar="NAME", help="to this line")
    add.add_argument("--trunk", metavar="NAME", help="the trunk that it belongs to")
    add.add_argument("--shared", action="store_true", help="every account may show it to whom it calls")
    leaf(numbers, "list", "list numbers", operation("number.list"), fields=FIELDS, many=True, reasons=True)
    remove = leaf(numbers, "remove", "let a number lead nowhere, and be shown by nobody",
                  operation("number.remove", "number"), fields=FIELDS, reasons=True)  # fmt: skip
    remove.add_argument("number", metavar="+NUMBER")
