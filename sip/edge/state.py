"""What the edge holds in memory, read and changed over RPC: devices, workers, contacts, dialogs, bans."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from sip.edge import relayed
from sip.edge.protocol import check_number, check_user
from sip.edge.relayed import RelayedCall
from sip.edge.rpc import Json, RpcClient, RpcError
from sip.edge.table import Table as HashTable
from sip.edge.table import dicts as _dicts
from sip.edge.trunks import Trunk, TrunkState

__all__ = ["Ban", "Contact", "Device", "Dialog", "EdgeState", "RelayedCall", "Trunk", "TrunkState"]

logger = logging.getLogger(__name__)

Table = Literal["tls", "plain"]

_TABLES: Mapping[Table, str] = {"tls": "loc_tls", "plain": "loc_plain"}
_HA1 = re.compile(r"[0-9a-f]{32}")
_DIALLED = re.compile(r"[+0-9*#]{1,24}")
_UNSET = "[not set]"
_REASON_TEXT = re.compile(r"[A-Za-z0-9 ,.'/()-]{0,80}")
# Kamailio's dialog states: 1 unconfirmed, 2 early, 3 answered without ACK, 4 answered, 5 deleted
_STATES: Mapping[int, Literal["early", "confirmed"]] = {1: "early", 2: "early", 3: "confirmed", 4: "confirmed"}


@dataclass(frozen=True, slots=True)
class Device:
    """A credential that may sign on."""

    auth_user: str
    account: str
    ha1: str = field(repr=False)  # MD5(auth_user:domain:password), 32 lower-case hex digits
    only_emergency: bool = False  # may not register and may call emergency numbers alone
    account_id: str = ""  # kept with an emergency call that is relayed without the daemon


@dataclass(frozen=True, slots=True)
class Contact:
    """One place where a device is registered."""

    table: Table  # "tls": it came by TLS and is offered RTP/SAVP
    uri: str  # as the phone wrote it: may be wrong behind NAT
    received: str  # where it really came from: "sip:192.0.2.7:40312;transport=tls"
    user_agent: str
    expires_s: int  # until it has to be renewed
    socket: str = ""  # the one of ours that it came by: "tls:192.0.2.1:5061"


@dataclass(frozen=True, slots=True)
class Dialog:
    """One call leg between a phone and a worker, as the edge sees it."""

    call_id: str
    state: Literal["early", "confirmed"]
    worker_port: int
    began: Literal["phone", "worker"]  # who sent the INVITE
    cseq: int  # of that INVITE
    key: tuple[int, int]  # Kamailio's h_entry, h_id
    age_s: int  # since the INVITE
    peer_port: int = 0  # of the worker that dialled, where the leg is between two workers
    tags: tuple[str, str] = ("", "")  # of From and To in that INVITE; the second is "" before an answer
    cseq_ahead: int = 0  # the callee has seen so much more than `cseq`: credentials were added on the way


@dataclass(frozen=True, slots=True)
class Ban:
    """A source that is not listened to."""

    source: str  # an address, or one connection as "proto:address:port"
    why: str
    until: datetime


class EdgeState:
    """RPC in the words of this house. Every method raises RpcError when the edge cannot be asked."""

    def __init__(self, rpc: RpcClient) -> None:
        self._rpc = rpc

    async def mark_ready(self) -> None:
        """Devices are known: phones may be judged by their password."""
        await self._set("ctl", "ready", "1")

    async def push_device(self, device: Device) -> None:
        check_user(device.auth_user)
        check_user(device.account)
        if not _HA1.fullmatch(device.ha1):
            raise ValueError("HA1 is 32 lower-case hexadecimal digits")
        if device.only_emergency:
            await self.refuse_device(device.auth_user)
        if device.account_id:
            check_user(device.account_id)
            await self._set("own", device.auth_user, device.account_id)
        await self._set("dev", device.auth_user, f"{device.ha1}:{device.account}")
        if not device.only_emergency:
            await self._delete("only", device.auth_user)

    async def refuse_device(self, auth_user: str) -> None:
        check_user(auth_user)
        await self._set("only", auth_user, "1")
        await self._forget_contacts(auth_user)

    async def replace_devices(self, devices: Iterable[Device]) -> None:
        wanted = {device.auth_user: device for device in devices}
        try:
            stale = [name for name, _ in await self._dump("dev") if name not in wanted]
        except RpcError:  # more than one datagram holds: start afresh
            for table in ("dev", "own"):
                await self._rpc.call("htable.flush", table)
            stale = [name for name in await self.registrations() if name not in wanted]
        for name in stale:
            await self.drop_device(name)
        for device in wanted.values():
            await self.push_device(device)

    async def drop_device(self, auth_user: str) -> None:
        check_user(auth_user)
        for table in ("dev", "only", "own"):
            await self._delete(table, auth_user)
        await self._forget_contacts(auth_user)

    async def _forget_contacts(self, auth_user: str) -> None:
        for table in _TABLES.values():
            await self._try("ul.rm", table, auth_user)

    async def allow_worker(self, port: int) -> None:
        await self._set("wk", str(port), "1")

    async def forget_worker(self, port: int) -> None:
        await self._delete("wk", str(port))

    async def replace_workers(self, ports: Iterable[int]) -> None:
        wanted = {str(port) for port in ports}
        for name, _ in await self._dump("wk"):
            if name not in wanted:
                await self._delete("wk", name)
        for name in wanted:
            await self._set("wk", name, "1")

    async def contacts(self, auth_user: str) -> list[Contact]:
        check_user(auth_user)
        found: list[Contact] = []
        for table, name in _TABLES.items():
            record = await self._try("ul.lookup", name, auth_user)
            found += _contacts(table, record)
        return found

    async def registrations(self) -> dict[str, list[Contact]]:
        names = set()
        for domain in _dicts(_get(await self._rpc.call("ul.dump", "brief"), "Domains")):
            for aor in _dicts(_get(domain.get("Domain"), "AoRs")):
                names.add(_aor_name(aor))
        found = {name: await self.contacts(name) for name in sorted(names) if name}
        return {name: contacts for name, contacts in found.items() if contacts}

    async def dialogs(self) -> list[Dialog]:
        found = []
        for brief in _dicts(await self._rpc.call("dlg.briefing", "c")):
            call_id = brief.get("call-id")
            if isinstance(call_id, str) and (dialog := await self.dialog(call_id)) is not None:
                found.append(dialog)
        return found

    async def dialog(self, call_id: str) -> Dialog | None:
        """The live leg with this Call-ID."""
        return _dialog(await self._try("dlg.dlg_list", call_id))

    async def end_dialog(self, call_id: str, cause: int, text: str) -> bool:
        if not _REASON_TEXT.fullmatch(text) or not 100 <= cause <= 699:
            raise ValueError("a Reason has a SIP status and a plain text")
        dialog = await self.dialog(call_id)
        if dialog is None or dialog.state != "confirmed":
            return False
        header = f'Reason: SIP;cause={cause};text="{text}"\r\n'
        if dialog.cseq_ahead:  # Kamailio's own BYE would have the number of the INVITE; it takes this header away again
            header += f"P-K-CSeq-Refresh: {dialog.cseq + 1 + dialog.cseq_ahead}\r\n"
        return await self._try("dlg.end_dlg", *dialog.key, header) is not None

    async def cancel(self, call_id: str) -> bool:
        dialog = await self.dialog(call_id)
        if dialog is None or dialog.state != "early" or dialog.began != "worker":
            return False
        return await self._try("tm.cancel", call_id, str(dialog.cseq)) is not None

    async def push_emergency(
        self,
        numbers: Mapping[str, str],
        trunks: tuple[str, ...],
        presented: Mapping[str, str],
        discreet: frozenset[str],
    ) -> None:
        for value in (*numbers, *numbers.values()):
            if not _DIALLED.fullmatch(value):
                raise ValueError("an emergency number has digits, * and # only")
        for trunk, number in presented.items():
            check_user(trunk)
            check_number(number)
        for trunk in trunks:
            check_user(trunk)
        wanted = {f"n:{dialled}": number for dialled, number in numbers.items()}
        wanted |= {f"told:{number}": "1" for number in numbers.values() if number not in discreet}
        wanted |= {f"from:{trunk}": number for trunk, number in presented.items()}
        if trunks:
            wanted["trunks"] = "/".join(trunks)
        for key, value in wanted.items():
            await self._set("em", key, value)
        for key, _ in await self._dump("em"):
            if key not in wanted:
                await self._delete("em", key)

    async def relayed_calls(self) -> list[RelayedCall]:
        return relayed.read(await self._dump("alone"))

    async def forget_relayed(self, key: str) -> None:
        for name in relayed.names(key):
            await self._delete("alone", name)

    async def bans(self) -> list[Ban]:
        found = []
        for source, value in await self._dump("ban"):
            why, _, until = value.partition(":")
            if until.isdigit():
                found.append(Ban(source, why, datetime.fromtimestamp(int(until), UTC)))
        return sorted(found, key=lambda ban: ban.until)

    async def lift_ban(self, source: str) -> bool:
        was_banned = any(source == name for name, _ in await self._dump("ban"))
        for table in ("ban", "fail"):
            await self._delete(table, source)
        return was_banned

    async def _set(self, table: str, key: str, value: str) -> None:
        await HashTable(self._rpc, table).set(key, value)

    async def _delete(self, table: str, key: str) -> None:
        await HashTable(self._rpc, table).delete(key)

    async def _dump(self, table: str) -> list[tuple[str, str]]:
        return await HashTable(self._rpc, table).dump()

    async def _try(self, method: str, *params: str | int) -> Json:
        """None where the edge says that there is no such thing; raises RpcError where it says nothing."""
        try:
            result = await self._rpc.call(method, *params)
        except RpcError as error:
            if error.code == 0:
                raise
            return None
        return True if result is None else result


def _get(value: object, key: str) -> object:
    return value.get(key) if isinstance(value, dict) else None


def _aor_name(aor: dict[str, object]) -> str:
    inner = aor.get("Info", aor)
    name = _get(inner, "AoR") if isinstance(inner, dict) else inner
    return name if isinstance(name, str) else ""


def _contacts(table: Table, record: object) -> Iterator[Contact]:
    for item in _dicts(_get(record, "Contacts")):
        contact = item.get("Contact")
        if not isinstance(contact, dict):
            continue
        expires = contact.get("Expires")
        if not isinstance(expires, int):  # "deleted", "expired", "permanent"
            continue
        yield Contact(
            table=table,
            uri=str(contact.get("Address", "")),
            received=_set_or_empty(contact.get("Received")),
            user_agent=_set_or_empty(contact.get("User-Agent")),
            expires_s=expires,
            socket=_set_or_empty(contact.get("Socket")),
        )


def _set_or_empty(value: object) -> str:
    return value if isinstance(value, str) and value != _UNSET else ""


def _dialog(value: object) -> Dialog | None:
    if isinstance(value, list):
        value = next(_dicts(value), None)
    if not isinstance(value, dict):
        return None
    state = _STATES.get(_int(value.get("state")))
    variables: dict[str, object] = {}
    for item in _dicts(value.get("variables")):
        variables |= item
    began = variables.get("side")
    if state is None or began not in ("phone", "worker"):
        return None
    return Dialog(
        call_id=str(value.get("call-id", "")),
        state=state,
        worker_port=_int(variables.get("port")),
        peer_port=_int(variables.get("peer")),
        cseq_ahead=_int(variables.get("cseq_diff")),
        tags=(_text(_get(value.get("caller"), "tag")), _text(_get(value.get("callee"), "tag"))),
        began="phone" if began == "phone" else "worker",
        cseq=_int(_get(value.get("caller"), "cseq")),
        key=(_int(value.get("h_entry")), _int(value.get("h_id"))),
        age_s=max(0, int(datetime.now(UTC).timestamp()) - _int(value.get("init_ts"))),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _int(value: object) -> int:
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else 0
