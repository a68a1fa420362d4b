"""Trunks: the providers that calls go out by and come in from.

Whom the company telephones through, and by which secret, is sealed; how to speak to them lies in columns.
"""

import ipaddress
import json
import re
from dataclasses import dataclass, field, fields
from datetime import datetime

from sqlalchemy import RowMapping, delete, insert, select, update

from storage import limits, tables, usage
from storage.errors import Invalid, NotFound
from storage.ids import ACCOUNT_NAME, new_id, require, require_in
from storage.numbers import E164
from storage.tx import Tx
from storage.types import canonical_json

TRANSPORTS = frozenset({"udp", "tcp", "tls"})
FORMATS = frozenset({"plus", "00", "national"})
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:.]{2,45}")
_USER = re.compile(r"[A-Za-z0-9+._~*%-]{0,64}")
_REALM = re.compile(r'[^"\\\x00-\x1f\x7f]{0,128}')
_HA1 = re.compile(r"[0-9a-f]{32}")
_SEALED = ("host", "domain", "user", "realm", "main_number")
_T = tables.trunks


@dataclass(frozen=True, slots=True)
class Trunk:
    id: str
    name: str  # shape of ids.ACCOUNT_NAME
    host: str  # name or address that requests go to
    port: int
    transport: str  # of TRANSPORTS
    domain: str  # in From and request URI: the provider's
    srtp: bool  # RTP/SAVP to and from it
    ipv6: bool  # media over IPv6
    register: bool
    user: str  # for registering and digests; "" where the provider knows us by our address
    realm: str
    ha1: str | None = field(repr=False)  # MD5(user:realm:password), 32 hexadecimal digits
    sources: tuple[str, ...]  # addresses and CIDRs that its calls come from, beside `host`
    preference: int  # lowest first
    weight: int  # among those of one preference
    max_channels: int  # calls at once
    main_number: str | None = field(repr=False)  # E.164, presented where the caller has none of its own
    international_format: str  # of FORMATS: how numbers are written to it
    enabled: bool
    created_at: datetime


async def add(
    tx: Tx,
    name: str,
    host: str,
    now: datetime,
    *,
    port: int = 5061,
    transport: str = "tls",
    domain: str = "",
    srtp: bool = True,
    ipv6: bool = False,
    register: bool = False,
    user: str = "",
    realm: str = "",
    ha1: str | None = None,
    sources: tuple[str, ...] = (),
    preference: int = 10,
    weight: int = 100,
    max_channels: int = 30,
    main_number: str | None = None,
    international_format: str = "plus",
    enabled: bool = True,
) -> Trunk:
    """`domain` is `host` where none is given, `realm` the domain. Raises `Duplicate("name")`, `Invalid`."""
    trunk = Trunk(
        id=new_id(),
        name=name,
        host=host,
        port=port,
        transport=transport,
        domain=domain or host,
        srtp=srtp,
        ipv6=ipv6,
        register=register,
        user=user,
        realm=realm or domain or host,
        ha1=ha1,
        sources=tuple(sources),
        preference=preference,
        weight=weight,
        max_channels=max_channels,
        main_number=main_number,
        international_format=international_format,
        enabled=enabled,
        created_at=now,
    )
    await tx.write(insert(_T).values(id=trunk.id, created_at=now, **_columns(tx, trunk)))
    return trunk


async def save(tx: Tx, trunk: Trunk) -> Trunk:
    """Write a changed record back. Raises `NotFound`, `Duplicate("name")`, `Invalid`."""
    if not await tx.write(update(_T).where(_T.c.id == trunk.id).values(**_columns(tx, trunk))):
        raise NotFound("trunk", trunk.id)
    return trunk


async def get(tx: Tx, trunk_id: str) -> Trunk:
    """Disabled ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.id == trunk_id))
    if row is None:
        raise NotFound("trunk", trunk_id)
    return _trunk(tx, row)


async def by_name(tx: Tx, name: str) -> Trunk:
    """Disabled ones too. Raises `NotFound`."""
    row = await tx.row(select(_T).where(_T.c.name == name))
    if row is None:
        raise NotFound("trunk")
    return _trunk(tx, row)


async def list_all(tx: Tx, *, enabled_only: bool = False) -> tuple[Trunk, ...]:
    """The preferred first, then by name."""
    wanted = select(_T).order_by(_T.c.preference, _T.c.name)
    if enabled_only:
        wanted = wanted.where(_T.c.enabled.is_(True))
    return tuple(_trunk(tx, row) for row in await tx.rows(wanted))


async def disable(tx: Tx, trunk_id: str) -> Trunk:
    """No call goes out by it or comes in from it; everything else stays. Raises `NotFound`."""
    if not await tx.write(update(_T).where(_T.c.id == trunk_id).values(enabled=False)):
        raise NotFound("trunk", trunk_id)
    return await get(tx, trunk_id)


async def remove(tx: Tx, trunk_id: str) -> None:
    """The trunk with its credential, limits and sums; its numbers stay, without a trunk. Raises `NotFound`."""
    numbers = tables.owned_numbers
    await tx.write(update(numbers).where(numbers.c.trunk_id == trunk_id).values(trunk_id=None))
    await limits.remove(tx, limits.of_trunk(trunk_id))
    await usage.remove(tx, limits.of_trunk(trunk_id))
    if not await tx.write(delete(_T).where(_T.c.id == trunk_id)):
        raise NotFound("trunk", trunk_id)


def _columns(tx: Tx, trunk: Trunk) -> dict[str, object]:
    _check(trunk)
    access = {name: getattr(trunk, name) for name in _SEALED} | {"sources": list(trunk.sources)}
    return {
        "name": trunk.name,
        "access_sealed": tx.keys.seal("trunks", "access", trunk.id, canonical_json(access)),
        "ha1_sealed": None if trunk.ha1 is None else tx.keys.seal_text("trunks", "ha1", trunk.id, trunk.ha1),
        **{column: getattr(trunk, column) for column in _PLAIN},
    }


_PLAIN = (
    *("port", "transport", "srtp", "ipv6", "register", "preference", "weight", "max_channels"),
    *("international_format", "enabled"),
)


def _check(trunk: Trunk) -> None:
    require("name", trunk.name, ACCOUNT_NAME)
    require("host", trunk.host, _HOST)
    require("domain", trunk.domain, _HOST)
    require("user", trunk.user, _USER)
    require("realm", trunk.realm, _REALM)
    require_in("transport", trunk.transport, TRANSPORTS)
    require_in("international_format", trunk.international_format, FORMATS)
    if trunk.ha1 is not None:
        require("ha1", trunk.ha1, _HA1)
    if trunk.main_number is not None:
        require("main_number", trunk.main_number, E164)
    if trunk.register and not (trunk.user and trunk.ha1):
        raise Invalid("register", "needs a user and a password")
    for name, least, most in (("port", 1, 65535), ("preference", 0, 999), ("weight", 1, 999), ("max_channels", 1, 999)):
        if not least <= getattr(trunk, name) <= most:
            raise Invalid(name, f"must be {least} to {most}")
    for source in trunk.sources:
        try:
            ipaddress.ip_network(source, strict=False)
        except ValueError:
            raise Invalid("sources", "must be addresses or networks such as 192.0.2.0/28") from None


def _trunk(tx: Tx, row: RowMapping) -> Trunk:
    access = json.loads(tx.keys.open("trunks", "access", row["id"], row["access_sealed"]))
    sealed = row["ha1_sealed"]
    plain = {one.name: row[one.name] for one in fields(Trunk) if one.name in row}
    return Trunk(
        **plain,
        **{name: access[name] for name in _SEALED},
        sources=tuple(access["sources"]),
        ha1=None if sealed is None else tx.keys.open_text("trunks", "ha1", row["id"], sealed),
    )
