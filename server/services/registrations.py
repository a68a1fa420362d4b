"""Which phones are registered now, and where. The edge is asked once, for all of them."""

from __future__ import annotations

from dataclasses import dataclass

from server.failure import Failure
from server.services import masking
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import Services
from server.services.devices import where
from server.services.edge import required
from sip.edge.rpc import RpcError
from sip.edge.state import Contact
from storage import accounts, devices


@dataclass(frozen=True, slots=True)
class Place:
    """Where a phone is registered. `address`: masked unless the actor gives a reason."""

    transport: str
    address: str
    program: str
    expires_s: int


@dataclass(frozen=True, slots=True)
class RegistrationView:
    """A phone that is not revoked. `places` is empty where it is not registered."""

    user: str
    account: str
    label: str
    disabled: bool
    places: tuple[Place, ...]


async def list_(services: Services, actor: Actor) -> list[RegistrationView]:
    """Those that are not registered first, then by account. Names of phones are masked as addresses are. Raises
    Failure."""
    try:
        there = await required(services).registrations()
    except RpcError:
        raise Failure(
            "the edge does not answer", "Type: beffroi status; see that beffroi edge runs", "unavailable"
        ) from None
    async with services.db.transaction() as tx:
        owners = {one.id: one for one in await accounts.list_all(tx)}
        found = [one for one in await devices.list_all(tx) if one.revoked_at is None]
        await note(services, tx, actor, "list", "device", count=len(found))
    views = [
        RegistrationView(
            user=one.auth_user,
            account=owners[one.account_id].name,
            label=masking.name(one.label) if actor.masked else one.label,
            disabled=owners[one.account_id].disabled_at is not None,
            places=tuple(_place(contact, masked=actor.masked) for contact in there.get(one.auth_user, ())),
        )
        for one in found
    ]
    return sorted(views, key=lambda one: (bool(one.places), one.account, one.user))


def _place(contact: Contact, *, masked: bool) -> Place:
    program = "".join(filter(str.isprintable, contact.user_agent))[:80]
    return Place(contact.table, where(contact.received or contact.uri, masked=masked), program, contact.expires_s)
