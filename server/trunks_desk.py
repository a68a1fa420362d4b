"""The trunks of the running daemon: from the database to the edge, and from the edge how they are.

What was read last stays in memory, so that an emergency call finds its way while the database does not answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sip.edge.rpc import RpcError
from sip.edge.trunks import Trunk as EdgeTrunk
from sip.edge.trunks import TrunkState, check
from storage import trunks
from storage.database import Database
from storage.trunks import Trunk

log = logging.getLogger(__name__)

LOOK_S = 10.0  # between two looks at how the trunks are
SOON_S = 0.5  # after a failed call


class TrunkEdge(Protocol):
    """What is asked of the edge."""

    async def replace_trunks(self, trunks: Iterable[EdgeTrunk]) -> None: ...

    async def trunk_states(self) -> Mapping[str, TrunkState]: ...


@dataclass(frozen=True, slots=True)
class TrunkView:
    """How one trunk is now; names nobody."""

    trunk_id: str
    registered: bool | None  # None: it does not register, or nothing is known yet
    reachable: bool | None  # None: not known yet
    in_use: int
    channels: int
    wrong_name: bool = False  # by TLS: the provider shows a certificate of another name

    @property
    def up(self) -> bool | None:
        """Whether a call may be sent there; None: not known yet."""
        if False in (self.registered, self.reachable):
            return False
        return None if self.reachable is None else True


def uri(trunk: Trunk) -> str:
    """Where requests for this provider go (RFC 3261 section 19.1)."""
    host = f"[{trunk.host}]" if ":" in trunk.host else trunk.host
    return f"sip:{host}:{trunk.port};transport={trunk.transport}"


def for_edge(trunk: Trunk) -> EdgeTrunk:
    """As the edge knows it. The HA1 lies in memory there, and nowhere else in clear. Raises ValueError."""
    carried = EdgeTrunk(
        id=trunk.id,
        uri=uri(trunk),
        domain=f"[{trunk.domain}]" if ":" in trunk.domain else trunk.domain,
        register=trunk.register,
        user=trunk.user,
        realm=trunk.realm,
        ha1=trunk.ha1 or "",
        sources=trunk.sources,
    )
    check(carried)
    return carried


class TrunksDesk:
    """Keeps the edge's trunks as the database has them, and looks after them."""

    def __init__(self, database: Database, edge: TrunkEdge | None, in_use: Callable[[], Mapping[str, int]]) -> None:
        """``edge`` None: to look at them only. ``in_use``: channels taken, by trunk id."""
        self._database = database
        self._edge = edge
        self._in_use = in_use
        self._known: dict[str, Trunk] = {}
        self._states: dict[str, TrunkState] = {}
        self._soon = asyncio.Event()
        self.turned = asyncio.Event()  # one has gone down or come up
        self.failures = 0  # times that a trunk was found to have gone down, for the metrics

    # --- what is known, without waiting for anybody ------------------------------------------------

    @property
    def enabled(self) -> tuple[Trunk, ...]:
        """As read last."""
        return tuple(self._known.values())

    def max_channels(self, trunk_id: str) -> int | None:
        """None: as many as there are, or no such trunk."""
        trunk = self._known.get(trunk_id)
        return trunk.max_channels if trunk is not None else None

    def views(self) -> dict[str, TrunkView]:
        """Every enabled trunk, by id."""
        used = self._in_use()
        return {
            trunk.id: TrunkView(
                trunk.id,
                state.registered if (state := self._states.get(trunk.id)) is not None else None,
                state.reachable if state is not None else None,
                used.get(trunk.id, 0),
                trunk.max_channels,
                state is not None and state.wrong_name,
            )
            for trunk in self._known.values()
        }

    def gauges(self) -> dict[str, float]:
        views = self.views().values()
        return {
            "trunks": float(len(views)),
            "trunks_down": float(sum(view.up is False for view in views)),
            "trunk_channels_in_use": float(sum(view.in_use for view in views)),
        }

    def status(self) -> list[dict[str, object]]:
        """For ``beffroi status``: opaque ids only."""
        return [
            {
                "trunk_id": view.trunk_id,
                "up": view.up,
                "registered": view.registered,
                "reachable": view.reachable,
                "wrong_certificate": view.wrong_name,
                "in_use": view.in_use,
                "channels": view.channels,
            }
            for view in self.views().values()
        ]

    # --- keeping it so ------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read them anew. Raises StorageError; then what was known stays."""
        async with self._database.read() as tx:
            found = await trunks.list_all(tx, enabled_only=True)
        self._known = {trunk.id: trunk for trunk in found}
        self._states = {trunk_id: state for trunk_id, state in self._states.items() if trunk_id in self._known}

    async def push(self, edge: TrunkEdge | None = None) -> None:
        """Tell the edge. One trunk that it cannot carry does not keep the others away. Raises RpcError."""
        sound = []
        for trunk in self._known.values():
            try:
                sound.append(for_edge(trunk))
            except ValueError as error:
                log.error("trunk %s is not used: %s", trunk.id, error)
        if (asked := edge or self._edge) is not None:
            await asked.replace_trunks(sound)
        self.look_soon()

    def look_soon(self) -> None:
        """A call has failed there, or something was changed: do not wait for the next look."""
        self._soon.set()

    async def run(self) -> None:
        """Look after them until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._soon.wait()
                    await asyncio.sleep(SOON_S)  # the edge's own question takes its time
            self._soon.clear()
            await self.look()

    async def look(self) -> None:
        """Ask the edge how they are; one that has gone down or come up is logged by its id."""
        if not self._known or self._edge is None:
            return
        try:
            states = await self._edge.trunk_states()
        except RpcError:
            return  # an edge that is away is told everything when it is back
        before = self.views()
        self._states = {trunk_id: state for trunk_id, state in states.items() if trunk_id in self._known}
        for trunk_id, view in self.views().items():
            if view.up is not before[trunk_id].up:
                self.turned.set()
            if view.up is False and before[trunk_id].up is not False:
                self.failures += 1
                why = ", its certificate has another name" if view.wrong_name else ""
                log.error(
                    "trunk %s is down: registered %s, reachable %s%s", trunk_id, view.registered, view.reachable, why
                )
            elif view.up and before[trunk_id].up is False:
                log.warning("trunk %s is up again", trunk_id)
