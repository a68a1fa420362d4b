"""The texts of the running daemon, by SIP: from phones and trunks, and to them.

``HouseDesk`` carries what is written within the house; what is for outside goes to whoever is given as ``outside``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from config.settings import Settings
from server.company import site_numbering
from sip.edge.protocol import EdgeRequest, Reply
from sip.messages.delivery import Delivery, TextEdge
from sip.messages.desk import TextDesk
from sip.messages.gate import TextGate
from sip.messages.house import Absent, HouseDesk
from storage.database import Database


class TextsDesk:
    """All that the daemon has to know of texts by SIP."""

    def __init__(
        self,
        database: Database,
        edge: TextEdge,
        settings: Callable[[], Settings],
        outside: TextDesk | None = None,
        absent: Absent | None = None,
    ) -> None:
        """`outside`: who carries what is not of the house; `absent`: who keeps a text for somebody who is not there."""
        self.delivery = Delivery(database, edge)
        self.house = HouseDesk(database, self.delivery, lambda: site_numbering(settings()), outside, absent)
        self.gate = TextGate(database, self.house, lambda: site_numbering(settings()))

    async def on_request(self, request: EdgeRequest) -> Reply:
        """Never raises."""
        return await self.gate.on_request(request)

    def parts(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """What runs as long as the daemon does, by name."""
        return {"texts": self.house.run}

    def counters(self) -> dict[str, float]:
        """Since the start of the daemon."""
        return {
            "texts_taken": float(self.gate.taken),
            "texts_refused": float(self.gate.refused),
            "texts_relayed": float(self.house.relayed),
            "texts_lost": float(self.house.lost),
        }
