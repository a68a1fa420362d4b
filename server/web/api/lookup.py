"""Who is that? For a CRM that has a caller's number: one answer made of those operations that the token may use.

A part that the token has no right to is null; whose number it is and past calls need a reason, as any search does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from server.failure import Failure
from server.operation_rules import RULES
from server.rights import Identity
from server.services import masking
from server.services.context import Services
from server.services.phone_numbers import e164

CALLS = 5
RIGHT = RULES["calls.list"].right

Ask = Callable[[str, Mapping[str, object]], Awaitable[object]]
"""An operation by name, in the name of whoever asks."""

SCHEMA: Mapping[str, object] = {
    "type": "object",
    "required": ["number", "account", "line", "permission", "opt_out", "calls"],
    "properties": {
        "number": {"type": "string", "description": "In international form; masked without a reason."},
        "account": {"type": ["string", "null"], "description": "The account of ours that it leads to."},
        "line": {"type": ["string", "null"], "description": "The line of ours that it leads to."},
        "permission": {
            "anyOf": [{"$ref": "#/components/schemas/contact_check.CheckView"}, {"type": "null"}],
            "description": "May it be called on behalf of the line that was named?",
        },
        "opt_out": {"anyOf": [{"$ref": "#/components/schemas/OptOutView"}, {"type": "null"}]},
        "calls": {
            "anyOf": [{"type": "array", "items": {"$ref": "#/components/schemas/CallView"}}, {"type": "null"}],
            "description": "The last calls from and to it that the token may see; needs X-Reason.",
        },
    },
}


@dataclass(frozen=True, slots=True)
class Asker:
    """Whoever looks up. `ask`: an operation by name, in their name; `reasoned`: they have said why."""

    identity: Identity
    ask: Ask
    reasoned: bool

    async def part(self, operation: str, arguments: Mapping[str, object]) -> object:
        """None where the right to it is missing. Raises Failure for anything else."""
        if not self.identity.may(RULES[operation].right):
            return None
        try:
            return await self.ask(operation, arguments)
        except Failure as failure:
            if failure.code == "denied":
                return None
            raise


async def look(services: Services, asker: Asker, number: str, line: str | None) -> dict[str, object]:
    """Raises Failure where it is no number, or the line is none that calls people."""
    outside = e164(services.settings, number)
    own = await _own(asker, outside)
    return {
        "number": outside if asker.reasoned else masking.number(outside),
        "account": own.get("account"),
        "line": own.get("line"),
        "permission": await asker.part("contact.check", {"number": outside, "line": line}) if line else None,
        "opt_out": await asker.part("optout.check", {"number": outside}),
        "calls": await asker.part("calls.list", {"number": outside, "limit": CALLS}) if asker.reasoned else None,
    }


async def _own(asker: Asker, outside: str) -> Mapping[str, object]:
    """Own numbers are shown in clear to whoever says why, so only then one is recognised."""
    numbers = await asker.part("number.list", {}) if asker.reasoned else None
    for one in numbers if isinstance(numbers, list) else ():
        if isinstance(one, dict) and one.get("number") == outside:
            return one
    return {}
