"""A phone that sets itself up: it fetches its configuration once, within ten minutes, by a link read from a code.

The link's token is known by its SHA-256 alone, and what it fetches lies sealed under a key that is made of the token:
whoever reads our memory finds neither. Nothing of it is on disk, and a restart ends what was offered.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from server.failure import Failure
from server.services import devices as device_service
from server.services.actor import SYSTEM, Actor
from server.services.audit import note
from server.services.context import Offer, Services
from server.services.credentials import ha1
from server.services.devices import DeviceView
from server.welcome import phones_server
from storage import accounts, devices
from storage.errors import NotFound

OFFER_S = 600
MOST = 500  # at a time; the one that ends first makes room
PATH = "/phone/"


@dataclass(frozen=True, slots=True)
class OfferView:
    """Shown once. `link` is what the code holds; the other fields are for a phone that cannot fetch anything."""

    device: DeviceView
    domain: str
    server: str
    password: str = field(repr=False)
    link: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a phone needs. `ha1` is what it proves the password with (RFC 7616 section 3.4.2, MD5)."""

    user: str
    domain: str
    server: str  # host:port, by TLS
    expires_s: int  # how long a registration is good for
    ha1: str = field(repr=False)


async def offer(services: Services, actor: Actor, *, account: str, label: str = "phone") -> OfferView:
    """Make a credential for one more phone, and a link by which the phone fetches it. Raises Failure."""
    if services.live is None:
        raise Failure("the daemon is not running: no phone could fetch anything", "Type: beffroi serve", "not_running")
    new = await device_service.add(services, actor, account=account, label=label)
    settings, user = services.settings, new.device.user
    configuration = {
        "user": user,
        "domain": new.domain,
        "server": phones_server(settings),
        "expires_s": settings.sip.registration_max_s,
        "ha1": ha1(user, new.domain, new.password),
    }
    token = secrets.token_urlsafe(32)
    expires_at = services.clock() + timedelta(seconds=OFFER_S)
    _make_room(services)
    services.offers[_sha256(token)] = Offer(new.device.id, expires_at, _seal(token, configuration))
    link = f"{settings.web.origin}{PATH}{token}"
    return OfferView(new.device, new.domain, phones_server(settings), new.password, link, expires_at)


async def fetch(services: Services, *, token: str, source: str) -> Configuration:
    """Once. Raises Failure for a token that is not there, over, used, or of a phone that was revoked meanwhile."""
    now = services.clock()
    found = services.offers.pop(_sha256(token), None)
    if found is None or found.expires_at <= now:
        raise _over()
    try:
        configuration = Configuration(**json.loads(_open(token, found.sealed)))
    except InvalidTag:
        raise _over() from None
    async with services.db.transaction() as tx:
        try:
            device = await devices.get(tx, found.device_id)
            owner = await accounts.get(tx, device.account_id)
        except NotFound:
            raise _over() from None
        if device.revoked_at is not None or owner.disabled_at is not None:
            raise _over()
        await note(services, tx, Actor(SYSTEM, source), "use", "device", device_id=device.id, account_id=owner.id)
    return configuration


def _over() -> Failure:
    return Failure("this link is over: it is good once, for ten minutes", "Have a new code shown", "not_found")


def _make_room(services: Services) -> None:
    now = services.clock()
    for key in [key for key, one in services.offers.items() if one.expires_at <= now]:
        del services.offers[key]
    while len(services.offers) >= MOST:
        del services.offers[min(services.offers, key=lambda key: services.offers[key].expires_at)]


def _sha256(token: str) -> bytes:
    return hashlib.sha256(b"beffroi/phone-offer/1\0" + token.encode()).digest()


def _cipher(token: str) -> ChaCha20Poly1305:
    """The token has 256 random bits, and seals one thing only."""
    return ChaCha20Poly1305(hashlib.sha256(b"beffroi/phone-configuration/1\0" + token.encode()).digest())


def _seal(token: str, configuration: Mapping[str, object]) -> bytes:
    return _cipher(token).encrypt(bytes(12), json.dumps(configuration).encode(), None)


def _open(token: str, sealed: bytes) -> bytes:
    return _cipher(token).decrypt(bytes(12), sealed, None)
