"""Connections that go out, looked at every few seconds: to whom, why, and whether the configuration expects it.

Kept in memory, with when each was first and last seen. What nothing expects is marked, and raises the alert
`going-out-unexpected`. Only loopback, receivers of the configuration, name servers and registered phones are expected.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from server import own_sockets
from server.own_sockets import Going
from server.services.receivers import ReceiverView, receivers
from sip.edge.rpc import RpcError
from storage import trunks
from storage.errors import StorageError

if TYPE_CHECKING:
    from server.services.context import Services

log = logging.getLogger(__name__)

FIRST_S, EVERY_S, NAMES_S = 15.0, 5.0, 300.0
MOST = 500  # places that are remembered; those seen longest ago go first
_RESOLV = Path("/etc/resolv.conf")
_DNS = 53
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something may be connected to. `port` 0: any."""

    kind: str  # of receivers; dns, phone
    name: str
    host: str
    networks: tuple[Network, ...]
    port: int

    def fits(self, one: Going) -> bool:
        address = ipaddress.ip_address(one.address)
        return self.port in (0, one.port) and any(address in network for network in self.networks)


@dataclass(frozen=True, slots=True)
class Seen:
    """`kind` "": nothing expects it."""

    going: Going
    kind: str
    name: str
    host: str
    first_seen_at: datetime
    last_seen_at: datetime
    open: bool

    @property
    def expected(self) -> bool:
        return bool(self.kind)


class GoingOut:
    """One for the daemon."""

    def __init__(
        self,
        services: Services,
        edge_directory: Path,
        *,
        look: Callable[[int, str], list[Going]] = own_sockets.look,
        resolv: Path = _RESOLV,
    ) -> None:
        self._services, self._directory, self._look, self._resolv = services, str(edge_directory), look, resolv
        self._seen: dict[Going, Seen] = {}
        self._reasons: Sequence[Reason] = ()
        self._reasons_s: float | None = None
        self.looked_at: datetime | None = None

    async def run(self) -> None:
        """For as long as the daemon lives."""
        await asyncio.sleep(FIRST_S)
        while True:
            await self.once()
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """One look. A database that does not answer leaves the reasons as they were."""
        found = await asyncio.to_thread(self._look, os.getpid(), self._directory)
        now_s = asyncio.get_running_loop().time()
        if self._reasons_s is None or now_s - self._reasons_s > NAMES_S or self._strange(found):
            try:
                self._reasons = await reasons(self._services, self._resolv)
                self._reasons_s = now_s
            except StorageError as error:
                log.warning("what may go out is not known anew: %s", error)
        self.note(found, self._services.clock())

    def _strange(self, found: Iterable[Going]) -> bool:
        """Something is there for the first time, and nothing expects it: the configuration may be new."""
        return any(one not in self._seen and not any(each.fits(one) for each in self._reasons) for one in found)

    def note(self, found: Iterable[Going], now: datetime) -> None:
        """Remember what is there now."""
        here = set(found)
        for one in here:
            why = next((each for each in self._reasons if each.fits(one)), None)
            before = self._seen.pop(one, None)
            kind, name, host = ("", "", "") if why is None else (why.kind, why.name, why.host)
            if why is None and (before is None or before.expected):
                log.warning("a connection goes out that nothing expects: %s of %s", one.protocol, one.process)
            first = before.first_seen_at if before is not None else now
            self._seen[one] = Seen(one, kind, name, host, first, now, open=True)
        for one, seen in self._seen.items():
            if one not in here and seen.open:
                self._seen[one] = replace(seen, open=False)
        while len(self._seen) > MOST:
            del self._seen[next(iter(self._seen))]
        self.looked_at = now

    def seen(self) -> list[Seen]:
        """What nothing expects first, then the newest."""
        return sorted(self._seen.values(), key=lambda one: (one.expected, -one.last_seen_at.timestamp()))

    def unexpected(self) -> bool | None:
        """Whether something is open now that nothing expects; None before the first look."""
        if self.looked_at is None:
            return None
        return any(one.open and not one.expected for one in self._seen.values())


async def reasons(services: Services, resolv: Path = _RESOLV) -> list[Reason]:
    """All that is expected now. Names are asked of the machine's resolver, as those who connect do. Raises
    StorageError."""
    async with services.db.read() as tx:
        known = await receivers(services, tx)
        sources = {one.name: one.sources for one in await trunks.list_all(tx) if one.enabled}
    found = [Reason("dns", "", "", _name_servers(resolv), _DNS)]
    for one in known:
        if one.port and one.enabled and not one.here:
            found.append(Reason(one.kind, one.name, one.host, await _networks(one), one.port))
    for name, addresses in sources.items():
        if addresses:
            found.append(Reason("trunk", name, "", _read(addresses), 0))
    if services.edge is not None:
        try:
            there = await services.edge.registrations()
        except RpcError:
            there = {}
        phones = _read(_host_of(contact.received) for contacts in there.values() for contact in contacts)
        found.append(Reason("phone", "", "", phones, 0))
    return found


async def _networks(one: ReceiverView) -> tuple[Network, ...]:
    """Addresses of its host; none where nobody knows it."""
    try:
        return (ipaddress.ip_network(one.host.strip("[]")),)
    except ValueError:
        pass
    loop = asyncio.get_running_loop()
    try:
        told = await asyncio.wait_for(loop.getaddrinfo(one.host, one.port, type=socket.SOCK_STREAM), 5.0)
    except (OSError, TimeoutError, UnicodeError):
        return ()
    return _read(str(each[4][0]) for each in told)


def _host_of(received: str) -> str:
    """`sip:192.0.2.7:40312;transport=tls` is 192.0.2.7."""
    return received.partition("sip:")[2].partition(";")[0].rpartition(":")[0]


def _read(texts: Iterable[str]) -> tuple[Network, ...]:
    found: dict[Network, None] = {}
    for text in texts:
        try:
            found[ipaddress.ip_network(text.strip("[]"), strict=False)] = None
        except ValueError:
            continue
    return tuple(found)


def _name_servers(resolv: Path) -> tuple[Network, ...]:
    """Of resolv.conf(5)."""
    try:
        lines = resolv.read_text(errors="replace").splitlines()
    except OSError:
        return ()
    return _read(parts[1].partition("%")[0] for line in lines if (parts := line.split())[:1] == ["nameserver"]
                 and len(parts) > 1)  # fmt: skip
