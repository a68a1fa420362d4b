"""Outside numbers as people type them, into what is stored."""

from __future__ import annotations

from config.settings import Settings
from server.company import site_numbering
from server.failure import Failure
from sip.calls import emergency, numbers


def e164(settings: Settings, text: str) -> str:
    """`+33 1 42 00 00 00`, or as it is dialled here, as `+33142000000`. Raises Failure, without the number."""
    found = numbers.parse(text, site_numbering(settings))
    if found is None or not found.e164:
        raise Failure(
            "this is no telephone number", "Write it with + and the country first, such as +33 1 42 00 00 00", "invalid"
        )
    return found.e164


def sought(settings: Settings, text: str) -> str:
    """What somebody looks for, as it is kept: a number however it is written; a name or an extension as it stands."""
    return numbers.caller(text, site_numbering(settings)) or text.strip()


def not_emergency(settings: Settings, dialled: str) -> None:
    """Raises Failure where an account or a line would stand in the way of an emergency number."""
    where = site_numbering(settings)
    if emergency.shadows_emergency(dialled, where.country, where.outside_prefix):
        raise Failure(f"{dialled} is dialled for an emergency", "Choose another number", "taken")
