"""Where the edge's questions about texts end: who asks is proven, what it holds is read, and a desk takes it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from urllib.parse import unquote

from sip.calls import numbers
from sip.calls.numbers import SiteNumbering
from sip.calls.plan import Refusal
from sip.calls.planning_directory import caller_of
from sip.calls.planning_phone import check_identity
from sip.edge.protocol import EdgeRequest, Reply, plain_reason
from sip.edge.rpc import RpcError
from sip.messages import content
from sip.messages.content import Garbled, Notice, Unsupported, Words
from sip.messages.desk import DELIVERED, LATER, Text, TextDesk, TextFromPhone, TextFromTrunk
from sip.messages.repeats import Repeats
from storage import numbers_owned, trunks
from storage.database import Database
from storage.errors import NotFound, StorageError
from storage.tx import Tx

log = logging.getLogger(__name__)

ANSWER_S = 2.5  # the edge waits 3 s


class TextGate:
    """Turns requests of kind "message" into texts."""

    def __init__(self, database: Database, desk: TextDesk, site: Callable[[], SiteNumbering]) -> None:
        self._database = database
        self._desk = desk
        self._site = site
        self._repeats = Repeats()
        self.taken = 0  # for the metrics
        self.refused = 0

    async def on_request(self, request: EdgeRequest) -> Reply:
        """The answer for whoever sent it. Never raises: what goes wrong is an answer."""
        try:
            async with asyncio.timeout(ANSWER_S):
                key = f"{request.auth_user}:{request.trunk}:{request.cseq}:{request.call_id}"
                reply = await self._repeats.once(key, lambda: self._decide(request))
        except (StorageError, RpcError, TimeoutError) as error:
            log.error("a text was not taken: %s", type(error).__name__)
            reply = LATER
        reply = Reply(reply.code, plain_reason(reply.reason))  # desks explain in words of their own
        if reply.code < 300:
            self.taken += 1
        else:
            self.refused += 1
        return reply

    async def _decide(self, request: EdgeRequest) -> Reply:
        if request.to_tag:  # within a call (RFC 3428 section 3): the call is with a worker, which is nobody's inbox
            return Reply(405, "Write Outside The Call")
        match content.read(request.content_type, request.body):
            case Unsupported():
                return Reply(415, "Unsupported Media Type")
            case Garbled():
                return Reply(400, "Not A Text")
            case Notice():
                known = await self._known(request, "")
                return known if isinstance(known, Reply) else DELIVERED
            case Words(body):
                known = await self._known(request, body)
                return known if isinstance(known, Reply) else await self._desk.on_text(known)

    async def _known(self, request: EdgeRequest, body: str) -> Text | Reply:
        async with self._database.read() as tx:
            if request.trunk:
                return await self._from_trunk(tx, request, body)
            return await self._from_phone(tx, request, body)

    async def _from_phone(self, tx: Tx, request: EdgeRequest, body: str) -> TextFromPhone | Reply:
        known = await caller_of(tx, request.auth_user)
        if isinstance(known, Refusal):
            return Reply(known.code, known.reason)
        device, account = known
        if device.revoked_at is not None or account.disabled_at is not None:
            return Reply(403, "Revoked")
        if (refusal := check_identity(request, device, account)) is not None:
            return Reply(refusal.code, refusal.reason)
        to = unquote(request.request_user)
        return TextFromPhone(device, account, to, body, request.call_id, request.cseq, request.source)

    async def _from_trunk(self, tx: Tx, request: EdgeRequest, body: str) -> TextFromTrunk | Reply:
        try:
            trunk = await trunks.get(tx, request.trunk)
        except NotFound:
            return Reply(403, "Unknown Trunk")
        if not trunk.enabled:
            return Reply(403, "Trunk Is Disabled")
        written = unquote(request.asserted or request.from_user)
        sender = numbers.caller(written, self._site()) or written
        for sent in (request.request_user, request.to_user):
            e164 = numbers.caller(unquote(sent), self._site())
            owned = await numbers_owned.by_number(tx, e164) if e164 else None
            if owned is not None and owned.trunk_id in (None, trunk.id):
                return TextFromTrunk(trunk, owned, sender, body, request.call_id, request.cseq, request.source)
        return Reply(404, "Not Found")
