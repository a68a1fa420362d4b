"""Keys of held recordings: wrapped once more, to a key of the hold, by whichever reader of the purpose unlocks.

Until then a hold is a flag: it keeps the week's key, and with it whatever else lies under it. Each recording is flag or
secured, nothing between: its second wrap is one row, written in one transaction.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording import keys as key_tools
from recording.keys import KeysError
from recording.rewrap import AT_ONCE, Rewrap, is_wrap
from server.services.context import Services
from storage import holds, keys, ledger, readers, recordings
from storage.errors import NotFound, StorageError
from storage.keys import HOLD_PERIOD, HeldKey, Kek, KekWrap
from storage.tx import Tx

log = logging.getLogger(__name__)

MOST_IN_PASSING = 200  # of a purpose, while somebody listens: some tenths of a second


async def flagged(tx: Tx, hold_id: str) -> tuple[str, ...]:
    """Finished recordings under that hold that its own key does not keep yet; sorted."""
    secured = {one.rec_id for one in await keys.held_keys(tx, hold_id=hold_id)}
    found = []
    for rec_id in await holds.recordings_under(tx, hold_id):
        if rec_id not in secured and (await recordings.get(tx, rec_id)).state in ("whole", "cut"):
            found.append(rec_id)
    return tuple(found)


class HeldKeys:
    """Fills ``recording.room_client.Rewraps`` for one reader who unlocks: of one hold, or of all that stand."""

    def __init__(
        self, services: Services, person_id: str, hold_id: str | None, purposes: Collection[str] | None
    ) -> None:
        self._services = services
        self._person_id = person_id
        self._hold_id = hold_id
        self._purposes = purposes  # None: whatever this reader has the right to
        self._waiting: list[tuple[str, str]] | None = None  # (hold, recording)
        self._handed: dict[tuple[str, str], Rewrap] = {}
        self.secured = 0

    async def batch(self) -> Sequence[Rewrap]:
        """The next few that this reader can open. In passing, nothing that goes wrong here stops the listening."""
        try:
            return await self._next()
        except StorageError as error:
            if self._hold_id is not None:
                raise
            log.error("held recordings stay unsecured: %s", error)
            return ()

    async def _next(self) -> Sequence[Rewrap]:
        if self._waiting is None:
            self._waiting = await self._look()
        self._handed = {}
        while self._waiting and not self._handed:
            some, self._waiting = self._waiting[:AT_ONCE], self._waiting[AT_ONCE:]
            async with self._services.db.transaction() as tx:
                for hold_id, rec_id in some:
                    if (one := await self._rewrap(tx, hold_id, rec_id)) is not None:
                        self._handed[rec_id, hold_id] = one
        return tuple(self._handed.values())

    async def keep(self, wraps: Mapping[tuple[str, str], bytes]) -> None:
        """In one transaction, each for itself: what was lifted, destroyed or secured meanwhile is passed over."""
        try:
            await self._keep(wraps)
        except StorageError as error:
            if self._hold_id is not None:
                raise
            log.error("held recordings stay unsecured: %s", error)

    async def _keep(self, wraps: Mapping[tuple[str, str], bytes]) -> None:
        async with self._services.db.transaction() as tx:
            await holds.lock(tx)
            for place, wrap in wraps.items():
                one = self._handed.get(place)
                if one is not None and await self._still(tx, one) and _sound(wrap):
                    await keys.add_held_key(
                        tx, HeldKey(one.rec_id, one.hold_id, one.hold_kek_id, key_tools.algorithm(wrap), wrap)
                    )
                    self.secured += 1

    async def _look(self) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        async with self._services.db.read() as tx:
            for hold in await holds.list_all(tx, standing_only=True):
                if self._hold_id in (None, hold.id):
                    found += [(hold.id, rec_id) for rec_id in await flagged(tx, hold.id)]
        return found[:MOST_IN_PASSING] if self._hold_id is None else found

    async def _rewrap(self, tx: Tx, hold_id: str, rec_id: str) -> Rewrap | None:
        """None: not of a purpose of this reader, or never given to them."""
        purpose = (await recordings.get(tx, rec_id)).purpose
        if purpose is None or (self._purposes is not None and purpose not in self._purposes):
            return None
        if not await readers.has_right(tx, self._person_id, purpose):
            return None
        try:
            way = await keys.opening(tx, rec_id, self._person_id)
        except NotFound:
            return None
        now = self._services.clock()
        kek = await _kek_of(tx, hold_id, purpose, self._services.keys.ledger, now)
        return Rewrap(rec_id, hold_id, purpose, way.kek_id, way.kek_wrap, way.dek_wrap, kek.id, kek.public)

    async def _still(self, tx: Tx, one: Rewrap) -> bool:
        try:
            hold, recording = await holds.get(tx, one.hold_id), await recordings.get(tx, one.rec_id)
        except NotFound:
            return False
        there = {held.hold_id for held in await keys.held_keys(tx, rec_id=one.rec_id)}
        return hold.lifted_at is None and recording.state in ("whole", "cut") and one.hold_id not in there


async def _kek_of(tx: Tx, hold_id: str, purpose: str, signing: Ed25519PrivateKey, now: datetime) -> Kek:
    """The hold's key for that purpose: made once, wrapped to the readers of the purpose and to escrow, forgotten."""
    period = HOLD_PERIOD + hold_id
    for kek in await keys.list_keks(tx, purpose):
        if kek.period == period and kek.destroyed_at is None:
            return kek
    public, secret = key_tools.generate_kek()
    kek_id = secrets.token_hex(16)
    signature = key_tools.sign_kek(kek_id, purpose, public, signing)
    # No recording is ever begun under it: its time to take any is over as it begins.
    kek = Kek(kek_id, purpose, period, key_tools.algorithm(public), public, signature, now, now)
    recipients = [(reader.person_id, reader.public) for reader in await readers.for_purpose(tx, purpose)]
    recipients.append((readers.ESCROW, (await readers.get_escrow(tx)).public))
    wraps = []
    for reader_id, reader_public in recipients:
        blob = key_tools.wrap_kek(secret, reader_public, kek_id=kek_id, reader_id=reader_id)
        wraps.append(KekWrap(kek_id, reader_id, key_tools.algorithm(blob), blob))
    del secret
    await keys.add_kek(tx, kek, wraps)
    said = {"actor_id": "system", "action": "add", "object": "kek", "kek_id": kek_id, "hold_id": hold_id}
    await ledger.append(tx, "access", said, now)
    return kek


def _sound(wrap: bytes) -> bool:
    try:
        return is_wrap(wrap)
    except KeysError as error:
        log.error("a room gave something that is no wrap: %s", error)
        return False
