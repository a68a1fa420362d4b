"""Whoever gives rights gives none to themselves: whose role or person it is has to ask somebody else.

The command line is whoever owns the machine, and is nobody's colleague. Each refusal is written down.
"""

from __future__ import annotations

from server.failure import Failure
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.directory import person_by_login
from storage import people
from storage.errors import NotFound


async def not_own_role(services: Services, actor: Actor, role: str) -> None:
    """Raises Failure where the actor holds that role."""
    async with services.db.read() as tx:
        try:
            held = (await people.get(tx, actor.who)).roles
        except NotFound:
            return
    if role in held:
        await _refuse(services, actor, "role", f"you hold the role {role} yourself", role=role)


async def not_themselves(services: Services, actor: Actor, login: str, subject: str) -> None:
    """`subject`: what it is about, for the access log. Raises Failure where the actor is that person."""
    async with services.db.read() as tx:
        person = await person_by_login(tx, login)
    if person.id == actor.who:
        await _refuse(services, actor, subject, "nobody changes their own rights", person_id=person.id)


async def _refuse(services: Services, actor: Actor, subject: str, what: str, **details: str) -> None:
    async with services.db.transaction() as tx:
        await note(services, tx, actor, "change", subject, outcome="denied", **details)
    raise Failure(what, "Let somebody else do it", "denied")
