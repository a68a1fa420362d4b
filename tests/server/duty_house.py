"""An edge that keeps what it is told, and a directory with a trunk, for tests of the duties beside the calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sip.edge.protocol import EdgeRequest
from sip.edge.rpc import RpcError
from sip.edge.state import RelayedCall
from sip.edge.trunks import Trunk as EdgeTrunk
from sip.edge.trunks import TrunkState
from storage import numbers_owned, trunks
from storage.database import Database
from storage.trunks import Trunk

NOW = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
MAIN_NUMBER = "+33100000001"


@dataclass
class Edge:
    """`away`: it answers nothing. `takes`: auth users whose phones take a message."""

    trunks: dict[str, EdgeTrunk] = field(default_factory=dict)
    states: dict[str, TrunkState] = field(default_factory=dict)
    takes: set[str] = field(default_factory=set)
    messages: list[tuple[str, str]] = field(default_factory=list)
    emergency: list[tuple[object, ...]] = field(default_factory=list)
    discreet: tuple[str, ...] = ()
    relayed: list[RelayedCall] = field(default_factory=list)
    away: bool = False

    async def replace_trunks(self, trunks: Iterable[EdgeTrunk]) -> None:
        self._asked()
        self.trunks = {trunk.id: trunk for trunk in trunks}

    async def trunk_states(self) -> Mapping[str, TrunkState]:
        self._asked()
        return self.states

    async def send_message(self, auth_user: str, text: str) -> bool:
        self._asked()
        if auth_user in self.takes:
            self.messages.append((auth_user, text))
        return auth_user in self.takes

    async def push_emergency(
        self,
        numbers: Iterable[str],
        trunks: Iterable[str],
        prefixes: Iterable[str] = (),
        presented: Mapping[str, str] | None = None,
        discreet: Iterable[str] = (),
    ) -> None:
        self._asked()
        self.discreet = tuple(discreet)
        self.emergency.append((tuple(numbers), tuple(trunks), tuple(prefixes), dict(presented or {})))

    async def relayed_calls(self) -> list[RelayedCall]:
        self._asked()
        return list(self.relayed)

    async def forget_relayed(self, key: str) -> None:
        self._asked()
        self.relayed = [call for call in self.relayed if call.key != key]

    def _asked(self) -> None:
        if self.away:
            raise RpcError("any", 0, "no answer")


async def add_trunk(db: Database, name: str = "provider", **options: object) -> Trunk:
    values: dict[str, object] = {"transport": "udp", "port": 5060, "srtp": False, "main_number": MAIN_NUMBER}
    async with db.transaction() as tx:
        return await trunks.add(tx, name, "192.0.2.50", NOW, **(values | options))  # type: ignore[arg-type]


async def own_number(db: Database, number: str, account_id: str) -> None:
    async with db.transaction() as tx:
        await numbers_owned.add(tx, number, account_id=account_id)


def invite(dialled: str, auth_user: str = "", **facts: object) -> EdgeRequest:
    values: dict[str, object] = {
        "kind": "invite",
        "transaction": (1, 2),
        "call_id": "x",
        "cseq": 1,
        "auth_user": auth_user,
        "from_user": "whoever",
        "request_user": dialled,
        "source": "udp:192.0.2.1:5060",
        "savp": False,
    }
    return EdgeRequest(**(values | facts))  # type: ignore[arg-type]
