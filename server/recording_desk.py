"""Recordings as call control sees them: keys from the key store, proof from the ledger, the recorder process.

The order is the promise: evidence committed -> proof signed -> DEK made and wrapped by the recorder -> wrap committed
-> first byte. Whoever breaks in between finds a recording that has no key, or a key that has no recording, never audio
that is neither listed nor openable by a reader.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config import packs
from recording import keys as key_tools
from recording import proof, vault
from recording.recorder_client import Begin, Cut, RecorderClient, RecorderGone, RecorderRefused, Sealed
from retention.gate import DestructionIncomplete, DestructionRefused
from retention.recording_decision import expires_at
from server.week_keys import NobodyReads, WeekKeys
from sip.calls.acts import Gap
from sip.calls.ports import RecordingOrder, RecordingUnavailable
from storage import evidence, keys, ledger, recordings, sweeps
from storage.database import Database
from storage.errors import Conflict, NotFound, StorageError
from storage.keys import Kek, RecKey
from storage.recordings import Party, Recording
from storage.tx import Tx

log = logging.getLogger(__name__)

CHANNELS = 2
PROOF_VALID = timedelta(minutes=1)
RESTART_S = 1.0
RECENT = 200  # destroyed recordings that are looked at again after a crash
RETRY_S = 5.0  # between two tries of what the database did not take

_FAILURES = (StorageError, vault.VaultError, DestructionIncomplete, OSError)
_HOPELESS = (NotFound, Conflict, DestructionRefused)  # the same at every try


@dataclass(frozen=True, slots=True)
class DeskKeys:
    """The daemon's signing keys. None of them opens anything."""

    proof: Ed25519PrivateKey  # signs proof tokens
    kek: Ed25519PrivateKey  # signs KEK publics


async def _never(_rec_id: str) -> bool:
    return False


class RecordingDesk:
    """Fills ``sip.calls.ports.Recordings``. ``run`` keeps a recorder process alive."""

    def __init__(
        self,
        database: Database,
        vault_dir: Path,
        signing: DeskKeys,
        *,
        bitrate_bps: int,
        min_free_mb: int,
        on_cut: Callable[[str | None, str], None],
        destroy: Callable[[str, int | None, datetime], Awaitable[object]],
        is_held: Callable[[str], Awaitable[bool]] = _never,
    ) -> None:
        """``on_cut`` is told of recordings that ended by themselves (None: all). ``destroy`` is the deletion gate,
        ``is_held`` whether a legal hold stands against it."""
        self._database = database
        self._vault_dir = vault_dir
        self._signing = signing
        self._bitrate_bps = bitrate_bps
        self._min_free_mb = min_free_mb
        self._on_cut = on_cut
        self._destroy = destroy
        self._is_held = is_held
        self._recorder: RecorderClient | None = None
        self._wanted = asyncio.Event()
        self._keks = WeekKeys(database, signing.kek)
        self._running: set[str] = set()  # recordings whose file grows
        self._owed: dict[str, Callable[[], Awaitable[object]]] = {}  # by recording: what the database did not take
        self.restarts = 0

    @property
    def recorder_pid(self) -> int:
        return self._recorder.pid if self._recorder is not None and self._recorder.alive else 0

    async def run(self) -> None:
        """Keep one recorder; when it dies start another, and judge what it left."""
        try:
            while True:
                self._wanted.clear()
                try:
                    self._recorder = await self._start()
                except (RecorderGone, RecorderRefused, OSError, TimeoutError) as error:
                    log.error("the recorder does not start: %s", error)
                    await asyncio.sleep(RESTART_S)
                    continue
                if self.restarts:  # what the one before has left: now that the next calls can be recorded again
                    await self._recover_later()
                await self._watch()
                self.restarts += 1
                await asyncio.sleep(RESTART_S)
        finally:
            if self._recorder is not None:
                await asyncio.shield(self._close(self._recorder))

    async def _watch(self) -> None:
        """Until the recorder is gone. What could not be written down when it happened is tried again meanwhile."""
        while not self._wanted.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_S):
                    await self._wanted.wait()
            await self._settle()

    async def _settle(self) -> None:
        for rec_id, deed in list(self._owed.items()):
            try:
                await deed()
            except _HOPELESS as error:
                log.error("recording %s: given up: %s", rec_id, error)
            except _FAILURES as error:
                log.debug("recording %s: not yet (%s)", rec_id, error)
                continue
            else:
                log.info("recording %s: what was owed is done", rec_id)
            if self._owed.get(rec_id) is deed:  # nothing else was asked meanwhile
                del self._owed[rec_id]

    async def _recover_later(self) -> None:
        """As recover, but a failure does not end the daemon: the next recorder, or the next start, tries again."""
        try:
            await self.recover()
        except _FAILURES as error:
            log.error("what the recorder left cannot be judged now: %s", error)

    async def _close(self, recorder: RecorderClient) -> None:
        try:
            await recorder.close()
        except TimeoutError:
            log.error("the recorder is still finishing; its files are adopted at the next start")

    async def _start(self) -> RecorderClient:
        return await RecorderClient.start(
            self._vault_dir,
            self._signing.proof.public_key().public_bytes_raw(),
            self._signing.kek.public_key().public_bytes_raw(),
            self._bitrate_bps,
            self._on_recorder_event,
            min_free_mb=self._min_free_mb,
        )

    async def apply(self, *, bitrate_bps: int, min_free_mb: int) -> None:
        """New settings, for recordings that begin from now on."""
        self._bitrate_bps, self._min_free_mb = bitrate_bps, min_free_mb
        if self._recorder is not None and self._recorder.alive:
            with contextlib.suppress(RecorderGone):  # the next one starts with them
                await self._recorder.use(bitrate_bps=bitrate_bps, min_free_mb=min_free_mb)

    def _on_recorder_event(self, event: Cut | RecorderGone) -> None:
        if isinstance(event, Cut):
            self._on_cut(event.rec_id, event.reason)
        else:
            self._wanted.set()
            self._on_cut(None, "recorder")

    # --- for call control -------------------------------------------------------------------------

    async def begin(self, order: RecordingOrder, fds: tuple[int, int], now: datetime) -> None:
        """Raises RecordingUnavailable, and leaves nothing behind."""
        recorder = self._recorder
        if recorder is None or not recorder.alive:
            raise RecordingUnavailable("the recorder is not running")
        if not order.ledger_seqs:
            raise RecordingUnavailable("no evidence of consent")
        purpose = order.plan.recording.pack
        try:
            kek = await self._current_kek(purpose, now)
            wrap = await recorder.begin(self._request(order, kek, now))
            self._running.add(order.rec_id)
            await self._commit(order, kek, wrap, now)
            await recorder.go(order.rec_id, fds)
        except (RecorderGone, RecorderRefused, StorageError, key_tools.KeysError, proof.ProofError) as error:
            await self.discard(order.rec_id, now)
            raise RecordingUnavailable(str(error)) from error
        except asyncio.CancelledError:
            await self.discard(order.rec_id, now)
            raise

    def _request(self, order: RecordingOrder, kek: Kek, now: datetime) -> Begin:
        token = proof.ProofToken(
            rec_id=order.rec_id,
            call_id=order.plan.call_id,
            purpose=kek.purpose,
            legs=tuple(order.plan.leg_id(leg) for leg in order.legs),
            ledger_seqs=order.ledger_seqs,
            expires_at=now + PROOF_VALID,
        )
        return Begin(
            rec_id=order.rec_id,
            purpose=kek.purpose,
            proof=proof.sign(token, self._signing.proof),
            kek_id=kek.id,
            kek_public=kek.public,
            kek_signature=kek.signature,
            rate_hz=order.rate_hz,
            lossless=order.plan.recording.lossless,
        )

    async def _commit(self, order: RecordingOrder, kek: Kek, wrap: bytes, now: datetime) -> None:
        decision = order.plan.recording
        async with self._database.transaction() as tx:
            await recordings.start(
                tx,
                order.rec_id,
                call_id=order.plan.call_id,
                purpose=decision.pack,
                pack_version=decision.pack_version,
                policy_version=decision.policy,
                legal_basis=decision.legal_basis,
                expires_at=expires_at(decision, now),
                codec="flac" if decision.lossless else "opus",
                rate_hz=order.rate_hz,
                channels=CHANNELS,
                started_at=now,
                kek_id=kek.id,
                parties=_parties(order),
                consent_refs=order.ledger_seqs,
                line_id=order.plan.line_id,
                kept_for=None if decision.start_event == "recording_end" else str(decision.retention),
            )
            await keys.add_rec_key(tx, RecKey(order.rec_id, kek.id, key_tools.algorithm(wrap), wrap))

    async def discard(self, rec_id: str, now: datetime) -> None:
        """What was begun and holds nothing: no file, no key, no row that says otherwise."""
        self._running.discard(rec_id)
        await self._let_go(rec_id)
        await self._now_or_later(rec_id, lambda: self._fail(rec_id, now))

    async def _let_go(self, rec_id: str) -> None:
        """The recorder forgets its key and unlinks its file, if it is there to do so."""
        if self._recorder is None:
            return
        try:
            await self._recorder.destroy(rec_id)
        except (RecorderGone, RecorderRefused) as error:
            log.warning("recording %s: the recorder did not let go (%s)", rec_id, error)

    async def _fail(self, rec_id: str, now: datetime) -> None:
        """The file first: nobody looks for what has no row."""
        await asyncio.to_thread(vault.remove, self._vault_dir, rec_id)
        async with self._database.transaction() as tx:
            with contextlib.suppress(NotFound):  # it was not committed
                await recordings.mark(tx, rec_id, "failed", now)
                await keys.destroy_rec_key(tx, rec_id)

    async def finish(self, rec_id: str, now: datetime, gaps: tuple[Gap, ...] = ()) -> bool:
        """Seal and keep. True if it is whole, False if it was cut. What the database does not take now is owed."""
        self._running.discard(rec_id)
        sealed = await self._stop(rec_id)
        if sealed is None:
            return await self._now_or_later(rec_id, lambda: self._adopt(rec_id, now, gaps)) == "whole"
        await self._now_or_later(rec_id, lambda: self._keep(rec_id, sealed, now, gaps))
        return sealed.complete

    async def _keep(self, rec_id: str, sealed: Sealed, now: datetime, gaps: tuple[Gap, ...]) -> None:
        async with self._database.transaction() as tx:
            if gaps:
                await recordings.add_gaps(tx, rec_id, gaps)
            recording = await recordings.get(tx, rec_id)
            await recordings.finish(
                tx,
                rec_id,
                state="whole" if sealed.complete else "cut",
                ended_at=now,
                duration_ms=sealed.duration_ms,
                size_bytes=sealed.size_bytes,
                sha256=sealed.sha256,
                expires_at=_until(recording, now),
            )

    async def destroy(self, rec_id: str, ledger_seq: int | None, now: datetime) -> bool:
        """An objection: the recorder lets go of the key and the file, the gate destroys the rest and proves it.
        False: not yet, it is owed; or not now: a legal hold keeps it, sealed, until it is lifted."""
        if await self._held_by_law(rec_id):
            await self.finish(rec_id, now)
            await self._now_or_later(rec_id, lambda: self._destroy(rec_id, ledger_seq, now))  # notes that it is overdue
            return False
        self._running.discard(rec_id)
        await self._let_go(rec_id)
        await self._now_or_later(rec_id, lambda: self._destroy(rec_id, ledger_seq, now))
        return rec_id not in self._owed

    async def _held_by_law(self, rec_id: str) -> bool:
        """Where the database does not answer nobody knows of a hold: what was objected to goes."""
        try:
            return await self._is_held(rec_id)
        except StorageError as error:
            log.error("recording %s: legal holds cannot be read: %s", rec_id, error)
            return False

    async def _now_or_later(self, rec_id: str, deed: Callable[[], Awaitable[object]]) -> object:
        try:
            return await deed()
        except _HOPELESS as error:
            log.error("recording %s: given up: %s", rec_id, error)
            return None
        except _FAILURES as error:
            log.error("recording %s: tried again later: %s", rec_id, error)
            self._owed[rec_id] = deed
            return None

    async def _stop(self, rec_id: str) -> Sealed | None:
        recorder = self._recorder
        if recorder is None:
            return None
        try:
            return await recorder.stop(rec_id)
        except (RecorderGone, RecorderRefused) as error:
            log.warning("recording %s: not sealed by its recorder (%s)", rec_id, error)
            return None

    # --- after a crash ----------------------------------------------------------------------------

    def _held(self) -> set[str]:
        """Recordings whose end is ours to write down."""
        return self._running | self._owed.keys()

    async def recover(self) -> None:
        """Judge every recording that the database says is growing and no recorder of ours holds; finish what an
        objection or a destruction had begun."""
        growing = set(await asyncio.to_thread(vault.unfinished, self._vault_dir))
        async with self._database.read() as tx:
            listed = await recordings.list_all(tx, states=("recording", "cut"))
            # A verdict is committed before its file gets its last name: between the two, "cut" still lies under .part.
            left = [r for r in listed if r.id not in self._held() and (r.state == "recording" or r.id in growing)]
            objections = {r.id: await _objection_to(tx, r) for r in left}
            said = [json.loads(entry.body) for entry in await ledger.entries(tx, "erasure")]
            proven = {one.get("rec_id") for one in said if one.get("complete")}  # what was ordered only is not
            recent = await recordings.list_all(tx, states=("destroyed",), limit=RECENT)
            # What a sweep or an order has begun they finish themselves, and say why: nobody has objected to it.
            swept = {item[0] for one in await sweeps.under_way(tx) if one.kind == "recording" for item in one.items}
            halfway = [r.id for r in recent if r.id not in proven | swept]
        for rec_id in halfway:
            await self._judge(rec_id, partial(self._destroy, rec_id, None, datetime.now(UTC)))
        for recording in left:
            await self._judge(recording.id, partial(self._end, recording.id, objections[recording.id]))
        await self._sweep()

    async def _judge(self, rec_id: str, verdict: Callable[[], Awaitable[object]]) -> None:
        state = await self._now_or_later(rec_id, verdict)
        if state is not None:
            log.warning(
                "recording %s was left by a crash: %s", rec_id, state if isinstance(state, str) else "destroyed"
            )

    async def _sweep(self) -> None:
        """Remove files whose recording has failed or was destroyed: a crash came between the row and the file."""
        here = {file.rec_id for file in await asyncio.to_thread(lambda: list(vault.held(self._vault_dir)))}
        async with self._database.read() as tx:
            over = {r.id for r in await recordings.list_all(tx, states=("failed", "destroyed"))}
        for rec_id in sorted((here & over) - self._held()):
            log.warning("recording %s: its file was left by a crash and is removed", rec_id)
            await self._now_or_later(rec_id, partial(asyncio.to_thread, vault.remove, self._vault_dir, rec_id))

    async def _end(self, rec_id: str, objection_seq: int | None) -> object:
        """Somebody who has objected is not kept because we died before it was done."""
        now = datetime.now(UTC)
        if objection_seq is None:
            return await self._adopt(rec_id, now)
        if await self._held_by_law(rec_id):
            await self._adopt(rec_id, now)
        await vault.settle(self._vault_dir, rec_id)  # its recorder may still be finishing it
        return await self._destroy(rec_id, objection_seq, now)

    async def _adopt(self, rec_id: str, now: datetime, gaps: tuple[Gap, ...] = ()) -> str:
        """Judge what its recorder left, write the verdict down, then give the file its last name."""
        settled = await vault.settle(self._vault_dir, rec_id)
        async with self._database.transaction() as tx:
            recording = await recordings.get(tx, rec_id)
            state = recording.state
            if state == "recording":
                state = settled.state
                if state == "absent":
                    await keys.destroy_rec_key(tx, rec_id)
                    await recordings.mark(tx, rec_id, "failed", now)
                    return "failed"
                if gaps:
                    await recordings.add_gaps(tx, rec_id, gaps)
                await recordings.finish(
                    tx,
                    rec_id,
                    state=state,
                    ended_at=(ended_at := _ended_at(recording, settled, now)),
                    duration_ms=(ended_at - recording.started_at) // timedelta(milliseconds=1),
                    size_bytes=settled.size_bytes,
                    sha256=settled.sha256,
                    expires_at=_until(recording, ended_at),
                )
        await asyncio.to_thread(vault.adopt, self._vault_dir, rec_id)
        return state

    async def _current_kek(self, purpose: str, now: datetime) -> Kek:
        try:
            return await self._keks.current(purpose, now)
        except NobodyReads as nobody:
            raise RecordingUnavailable(str(nobody)) from None


def _ended_at(recording: Recording, settled: vault.Settled, now: datetime) -> datetime:
    """Of a recording whose end nobody saw: when its file was written last. The file itself tells no more than that."""
    return min(max(settled.written_at or now, recording.started_at), now)


def _until(recording: Recording, ended_at: datetime) -> datetime:
    """A period runs from the end. Where the pack has changed meanwhile, or the policy has a period of its own, what was
    decided at the start holds."""
    pack = packs.load().get(recording.purpose or "")
    if pack is not None and pack.version == recording.pack_version and recording.policy_version is None:
        return expires_at(pack, ended_at)
    return recording.expires_at + (ended_at - recording.started_at)


async def _objection_to(tx: Tx, recording: Recording) -> int | None:
    pack = packs.load().get(recording.purpose or "")
    if recording.call_id is None or (pack is not None and not pack.destroy_on_objection):
        return None
    return await evidence.objection_to(tx, recording.call_id, max(recording.consent_refs, default=0))


def _parties(order: RecordingOrder) -> list[Party]:
    return [
        Party(channel, order.plan.leg_id(leg), party.account_id, party.number)
        for channel, (leg, party) in enumerate(zip(order.legs, order.parties, strict=True))
    ]
