"""Trunks at the edge: what it is told of a provider, where that provider is, and how it does.

Names are resolved here, in the daemon: the edge's one process that carries out answers must never wait for a resolver.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field

from sip.edge.certificate import names_host
from sip.edge.rpc import Json, RpcClient, RpcError
from sip.edge.table import Table, dicts

logger = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9]{1,32}")
_DOMAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,253}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]")
_USER = re.compile(r"[^\x00-\x20\"\\<>]{0,128}")
_REALM = re.compile(r"[^\x00-\x1f\"\\]{0,128}")
_HA1 = re.compile(r"[0-9a-f]{32}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_URI = re.compile(
    r"sip:(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::(?P<port>\d{1,5}))?(?:;transport=(?P<proto>udp|tcp|tls))?"
)
_DEFAULT_PORT = {"udp": 5060, "tcp": 5060, "tls": 5061}
_RESOLVE_S = 5.0
_REGISTERED = 4  # of uac.reg_info's flags
_UNDER_WAY = 2 | 8
_SIGN_OFF_LOOKS, _SIGN_OFF_PAUSE_S = 10, 0.1
_FAILURES = frozenset({408, 502, 503, 504})  # of an OPTIONS: there is nobody, or nobody who works
_FAILED_PROBES = 2
_FIELDS = ("at", "name", "du", "socket", "domain", "user", "realm", "ha1", "contact", "nets", "uuid", "src", "print")
_JUDGED = re.compile(r"(at|cert|con):.*|[A-Za-z0-9]+::mark")  # names in the table that belong to certificates


@dataclass(frozen=True, slots=True)
class Trunk:
    """A provider as the edge has to know it."""

    id: str  # [A-Za-z0-9]{1,32}
    uri: str  # "sip:provider.example:5061;transport=tls", or with an address
    domain: str  # in From and request URI
    register: bool
    user: str
    realm: str
    ha1: str = field(repr=False)  # MD5(user:realm:password), 32 lower-case hex digits; "" without credentials
    sources: tuple[str, ...] = ()  # addresses and networks that its calls come from; also "address:port"
    expires_s: int = 300


@dataclass(frozen=True, slots=True)
class TrunkState:
    """How a trunk does. None: not known yet, or (registered) it does not register."""

    registered: bool | None
    reachable: bool | None
    wrong_name: bool = False  # by TLS: it shows a certificate of another name, and is told nothing


@dataclass(slots=True)
class _Health:
    failed: int = 0  # probes in a row
    asked: bool = False  # and not answered yet
    reachable: bool | None = None
    wrong_name: bool = False

    def answered(self, good: bool) -> None:
        self.asked = False
        self.wrong_name = self.wrong_name and not good
        self.failed = 0 if good else self.failed + 1
        if good:
            self.reachable = True
        elif self.failed >= _FAILED_PROBES:
            self.reachable = False


def check(trunk: Trunk) -> None:
    """Raises ValueError unless the edge can be told this trunk. The message holds no value."""
    for name, pattern in (("id", _ID), ("domain", _DOMAIN), ("user", _USER), ("realm", _REALM), ("uri", _URI)):
        if not pattern.fullmatch(getattr(trunk, name)):
            raise ValueError(f"the {name} of a trunk cannot be carried")
    if trunk.ha1 and not _HA1.fullmatch(trunk.ha1):
        raise ValueError("HA1 is 32 lower-case hexadecimal digits")
    if trunk.register and not (trunk.ha1 and trunk.user and trunk.realm):
        raise ValueError("a trunk that registers has user, realm and HA1")
    for source in trunk.sources:
        _source(source)


def _source(text: str) -> tuple[str, int]:
    """(network, 0), or (address, port). Raises ValueError."""
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if text.startswith("[") else host
    if colon and port.isdigit() and (text.startswith("[") or ":" not in host):
        return str(ipaddress.ip_address(host)), int(port)
    return str(ipaddress.ip_network(text, strict=False)), 0


@dataclass(frozen=True, slots=True)
class _Place:
    """A provider's address, resolved."""

    ip: str
    port: int
    proto: str

    @property
    def at(self) -> str:
        """As Kamailio writes it."""
        if ":" not in self.ip:
            return f"{self.ip}:{self.port}"
        groups = ipaddress.IPv6Address(self.ip).exploded.split(":")
        return f"[{':'.join(f'{int(group, 16):x}' for group in groups)}]:{self.port}"

    @property
    def uri(self) -> str:
        return f"sip:{_bracketed(self.ip)}:{self.port};transport={self.proto}"


def _bracketed(ip: str) -> str:
    return f"[{ip}]" if ":" in ip else ip


class TrunkTable:
    """The edge's trunks. Every method raises RpcError when the edge cannot be asked."""

    def __init__(self, rpc: RpcClient, secret: str, public_address: str, local_networks: tuple[str, ...]) -> None:
        self._rpc = rpc
        self._table = Table(rpc, "tr")
        self._secret = secret
        self._public = public_address
        self._local = tuple(ipaddress.ip_network(text) for text in local_networks)
        self._known: dict[str, Trunk] = {}
        self._health: dict[str, _Health] = {}
        self._places: dict[str, str] = {}  # id -> where it is reached by TLS
        self._hosts: dict[str, frozenset[str]] = {}  # mark -> names that a certificate has to have
        self._waiting: set[str] = set()  # ids of those by TLS whose registration may not have begun

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(self._known)

    def get(self, trunk_id: str) -> Trunk | None:
        return self._known.get(trunk_id)

    async def push(self, trunk: Trunk) -> None:
        """Adds or changes one. Raises ValueError."""
        check(trunk)
        self._known[trunk.id] = trunk
        await self._write(trunk)
        await self._index()

    async def replace(self, trunks: Iterable[Trunk]) -> None:
        """These and no others. What has not changed is not touched: its registration goes on. Raises ValueError."""
        wanted = {trunk.id: trunk for trunk in trunks}
        for trunk in wanted.values():
            check(trunk)
        held = (await self._table.get("ids") or "").split("/")
        for trunk_id in {*held, *self._known} - set(wanted) - {""}:
            await self._remove(trunk_id)
        self._known = wanted
        for trunk in wanted.values():
            await self._write(trunk)
        await self._index()

    async def drop(self, trunk_id: str) -> None:
        """Refuses its calls from now on, and signs off."""
        self._known.pop(trunk_id, None)
        await self._remove(trunk_id)
        await self._index()

    async def refresh(self) -> None:
        """Looks again where providers are whose address is a name."""
        for trunk in tuple(self._known.values()):
            await self._write(trunk)
        await self._index()

    async def states(self) -> dict[str, TrunkState]:
        found = {}
        for trunk in tuple(self._known.values()):
            registered = await self._registered(trunk) if trunk.register else None
            health = self._health_of(trunk.id)
            found[trunk.id] = TrunkState(registered, health.reachable, health.wrong_name)
        return found

    # --- health ---

    def asking(self, trunk_id: str) -> None:
        """A probe is on its way. One that was still unanswered has failed."""
        health = self._health_of(trunk_id)
        if health.asked:
            health.answered(False)
        health.asked = True

    def answered(self, trunk_id: str, code: int) -> bool:
        """What has come of a probe. Whether the trunk is to be registered now (`register`)."""
        if trunk_id not in self._known:
            return False
        good = code not in _FAILURES
        self._health_of(trunk_id).answered(good)
        return good and trunk_id in self._waiting

    async def judge(self, mark: str, digest: str, pem: str) -> bool:
        """A certificate that was shown by whoever is reached there: is it theirs? Then the edge is told so."""
        hosts = self._hosts.get(mark)
        if hosts is None or not _DIGEST.fullmatch(digest):
            return False
        if all(names_host(pem, host) for host in hosts):
            await self._table.set(f"cert:{mark}:{digest}", "1")
            return True
        for trunk_id, place in self._places.items():
            if self._mark(place) == mark:
                health = self._health_of(trunk_id)
                if not health.wrong_name:
                    logger.error("trunk %s shows a certificate of another name", trunk_id)
                health.wrong_name, health.reachable = True, False
        return False

    async def register(self, trunk_id: str) -> None:
        """By TLS a registration begins once the provider was found to be who it should be."""
        trunk = self._known.get(trunk_id)
        if trunk is None or trunk_id not in self._waiting:
            return
        self._waiting.discard(trunk_id)
        uuid = await self._table.get(f"{trunk_id}::uuid")
        if uuid and await _or_none(self._rpc, "uac.reg_info", "l_uuid", uuid) is None:
            await self._register(trunk, await self._fields(trunk))

    def _health_of(self, trunk_id: str) -> _Health:
        return self._health.setdefault(trunk_id, _Health())

    # --- what the edge holds ---

    async def _write(self, trunk: Trunk) -> None:
        fields = await self._fields(trunk)
        self._places.pop(trunk.id, None)
        self._waiting.discard(trunk.id)
        if "at" in fields:
            self._places[trunk.id] = fields["at"]
            if trunk.register:
                self._waiting.add(trunk.id)
        if await self._table.get(f"{trunk.id}::print") == fields["print"]:
            return
        await self._remove(trunk.id, forget=False)
        for name in _FIELDS:
            if fields.get(name):
                await self._table.set(f"{trunk.id}::{name}", fields[name])
        if fields["src"]:
            await self._table.set(f"src:{fields['src']}", trunk.id)
        if trunk.register and "du" in fields:
            await self._table.set(f"who:{fields['uuid']}", trunk.id)
            if trunk.id not in self._waiting:
                await self._register(trunk, fields)

    async def _fields(self, trunk: Trunk) -> dict[str, str]:
        nets, exact = [], ""
        for network, port in (_source(text) for text in trunk.sources):
            if port:
                exact = f"{network}:{port}"
            else:
                nets.append(network)
        fields = {"domain": trunk.domain, "user": trunk.user, "realm": trunk.realm, "ha1": trunk.ha1}
        fields |= {"nets": ",".join(nets), "src": exact}
        place = await _resolve(trunk.uri)
        own = await self._socket(place) if place is not None else None
        if place is None or own is None:
            logger.warning("a trunk cannot be reached: %s", "no address" if place is None else "no socket of its kind")
            self._health_of(trunk.id).reachable = False
        else:
            proto, ip, port = own
            fields |= {"du": place.uri, "socket": f"{proto}:{_bracketed(ip)}:{port}"}
            if place.proto == "tls":
                fields |= {"at": place.at, "name": "" if _is_address(_host(trunk)) else _host(trunk)}
            if place.proto == "udp" and not exact:  # its answers come from there, so may its calls
                fields["src"] = f"{place.ip}:{place.port}"
            shown = self._shown(place, ip)
            fields["shown"] = f"{_bracketed(shown)}:{port};transport={proto}"
        mark = hashlib.sha256(f"{self._secret}:{sorted(fields.items())}:{trunk!r}".encode()).hexdigest()
        fields["uuid"] = "t" + hashlib.sha256(f"{mark}:contact".encode()).hexdigest()[:20]
        fields["contact"] = f"{fields['uuid']}@{fields.get('shown', 'invalid')}"
        return fields | {"print": mark[:32]}

    def _shown(self, place: _Place, own: str) -> str:
        """The address of ours that the provider sees."""
        if self._public and not any(ipaddress.ip_address(place.ip) in network for network in self._local):
            return self._public
        return _local_address(place) if ipaddress.ip_address(own).is_unspecified else own

    async def _socket(self, place: _Place) -> tuple[str, str, int] | None:
        """The one of our sockets that requests to this place leave by: (proto, ip, port)."""
        local, peer = _local_address(place), ipaddress.ip_address(place.ip)
        best: tuple[str, str, int] | None = None
        for proto, ip, port in await self._sockets():
            address = ipaddress.ip_address(ip)
            if proto != place.proto or address.version != peer.version:
                continue
            if address.is_loopback and not peer.is_loopback:
                continue
            if best is None or ip == local:
                best = proto, ip, port
        return best

    async def _sockets(self) -> list[tuple[str, str, int]]:
        """The edge's sockets that face outside."""
        inside = await Table(self._rpc, "ctl").get("worker")
        found = []
        for item in dicts(await self._rpc.call("core.sockets_list")):
            proto, ip, port = (str(_first(item.get("socket"), key)) for key in ("proto", "ipaddress", "port"))
            if port.isdigit() and (proto, ip, port) != ("udp", "127.0.0.1", inside):
                found.append((proto, ip.strip("[]"), int(port)))
        return found

    async def _register(self, trunk: Trunk, fields: dict[str, str]) -> None:
        await self._rpc.call(
            "uac.reg_add",
            fields["uuid"], trunk.user, trunk.domain, trunk.user, trunk.domain, trunk.realm, trunk.user, ".", trunk.ha1,
            fields["du"], trunk.expires_s, 0, 0, fields["socket"], fields["shown"],
        )  # fmt: skip

    async def _registered(self, trunk: Trunk) -> bool:
        uuid = await self._table.get(f"{trunk.id}::uuid")
        if not uuid:
            return False
        flags = _first(await _or_none(self._rpc, "uac.reg_info", "l_uuid", uuid), "flags")
        return isinstance(flags, int) and bool(flags & _REGISTERED)

    async def _remove(self, trunk_id: str, *, forget: bool = True) -> None:
        for prefix in ("src", "who"):
            name = "src" if prefix == "src" else "uuid"
            if value := await self._table.get(f"{trunk_id}::{name}"):
                if await self._table.get(f"{prefix}:{value}") == trunk_id:
                    await self._table.delete(f"{prefix}:{value}")
                if prefix == "who":
                    await self._sign_off(value)
        for name in _FIELDS:
            await self._table.delete(f"{trunk_id}::{name}")
        if forget:
            self._health.pop(trunk_id, None)
            self._places.pop(trunk_id, None)
            self._waiting.discard(trunk_id)

    async def _sign_off(self, uuid: str) -> None:
        """The registration is ended, and forgotten once that is done, for what is forgotten is not ended."""
        await _or_none(self._rpc, "uac.reg_unregister", "l_uuid", uuid)
        for _ in range(_SIGN_OFF_LOOKS):
            flags = _first(await _or_none(self._rpc, "uac.reg_info", "l_uuid", uuid), "flags")
            if not isinstance(flags, int) or not flags & _UNDER_WAY:
                break
            await asyncio.sleep(_SIGN_OFF_PAUSE_S)
        await _or_none(self._rpc, "uac.reg_remove", uuid)

    async def _index(self) -> None:
        nets = [net for trunk in self._known.values() for net in trunk.sources if not _source(net)[1]]
        await self._table.set_or_delete("nets", ",".join(_source(net)[0] for net in nets))
        await self._table.set_or_delete("ids", "/".join(self._known))
        await self._index_certificates()

    async def _index_certificates(self) -> None:
        """Who is reached where by TLS. What was known of certificates stays, as long as the names are the same."""
        self._hosts = {self._mark(place): self._hosts_at(place) for place in self._places.values()}
        wanted = {f"at:{place}": self._mark(place) for place in self._places.values()}
        wanted |= {f"{trunk_id}::mark": self._mark(place) for trunk_id, place in self._places.items()}
        for key, value in wanted.items():
            await self._table.set(key, value)
        for key, _ in await self._table.dump():
            about = key.split(":")[1] if key.startswith(("cert:", "con:")) else ""
            if _JUDGED.fullmatch(key) and key not in wanted and about not in self._hosts:
                await self._table.delete(key)

    def _hosts_at(self, place: str) -> frozenset[str]:
        return frozenset(_host(self._known[one]) for one, its in self._places.items() if its == place)

    def _mark(self, place: str) -> str:
        text = f"{self._secret}:{place}:{sorted(self._hosts_at(place))}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _host(trunk: Trunk) -> str:
    match = _URI.fullmatch(trunk.uri)
    return match["host"].strip("[]").lower() if match is not None else ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _resolve(uri: str) -> _Place | None:
    """The first address of the host; IPv4 before IPv6."""
    match = _URI.fullmatch(uri)
    if match is None:
        return None
    proto = match["proto"] or "udp"
    port = int(match["port"] or _DEFAULT_PORT[proto])
    host = match["host"].strip("[]")
    try:
        return _Place(str(ipaddress.ip_address(host)), port, proto)
    except ValueError:
        pass
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError):
        return None
    addresses = sorted((str(item[4][0]) for item in found), key=lambda ip: ":" in ip)
    return _Place(addresses[0], port, proto) if addresses else None


def _local_address(place: _Place) -> str:
    """The address of this machine from which that place is reached; "" when there is no way. Sends nothing."""
    family = socket.AF_INET6 if ":" in place.ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((place.ip, place.port))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _first(value: object, key: str) -> object:
    if isinstance(value, list):
        value = next(dicts(value), None)
    return value.get(key) if isinstance(value, dict) else None


async def _or_none(rpc: RpcClient, method: str, *params: str | int) -> Json:
    """None where the edge says that there is no such thing."""
    try:
        return await rpc.call(method, *params)
    except RpcError as error:
        if error.code == 0:
            raise
        return None
