"""role: what each role may do, and what the company changes of that."""

from __future__ import annotations

from server.commands.base import Field, Subparsers, group, leaf, operation, words

FIELDS = (
    Field("role", "its name", "ROLE"),
    Field("people", "how many persons hold it who are not disabled", "PEOPLE"),
    Field("rights", "how many rights it has", "RIGHTS"),
    Field("changed", "how many of its rights are not as shipped", "CHANGED"),
    Field("reach", "every right, and how far the role has it"),
)
RIGHT_FIELDS = (
    Field("right", "what operations ask for", "RIGHT"),
    Field(
        "reach", "whose things: own, team (accounts that share a line with theirs), all; none: it has it not", "REACH"
    ),  # fmt: skip
    Field("shipped", "how far it reaches as shipped", "SHIPPED"),
    Field("operations", "what may be done with it", show=words),
    Field("narrow", "whether it may reach own or team alone"),
)


def register(subparsers: Subparsers) -> None:
    roles = group(subparsers, "role", "what each role may do in the portal and by the API")
    leaf(roles, "list", "list roles", operation("role.list"), fields=FIELDS, many=True)
    show = leaf(roles, "show", "every right, and how far a role has it", operation("role.show", "role"),
                fields=RIGHT_FIELDS, many=True)  # fmt: skip
    change = leaf(roles, "set", "give a role a right, or take it", operation("role.set", "role", "right", "reach"),
                  fields=RIGHT_FIELDS, reasons=True,
                  details="It holds from the next request on of everybody who has that role.")  # fmt: skip
    reset = leaf(roles, "reset", "a role, or one right of it, as shipped", operation("role.reset", "role", "right"),
                 fields=RIGHT_FIELDS, many=True, reasons=True)  # fmt: skip
    for parser in (show, change, reset):
        parser.add_argument("role", help="such as supervisor")
    change.add_argument("right", help="such as calls.read")
    change.add_argument("reach", choices=("none", "own", "team", "all"), help="how far")
    reset.add_argument("right", nargs="?", help="only this one")
