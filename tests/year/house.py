"""The house that a year happens to: the product's own services, desk, recorder and sweep, under a clock that is set.

What somebody might have kept beside the data directory is kept here, for the check at the end: every wrap there ever
was and a copy of every sealed file.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from config import settings as configuration
from config.paths import Paths
from recording import keys as key_tools
from recording import vault
from recording.messages import Begin
from recording.prompts import PromptStore
from recording.reader_bundle import ReaderSecret, seal_reader
from retention.recording_decision import CompanyFacts, RecordingDecision
from retention.recording_decision import Party as PolicyParty
from server.call_book import DatabaseCallBook
from server.destruction import RecordingDestruction
from server.policy_desk import PolicyDesk
from server.recording_desk import DeskKeys, RecordingDesk
from server.services import lines as line_service
from server.services.actor import Actor
from server.services.context import ServerKeys, Services
from server.spoken import Spoken
from server.sweeper import Sweeper
from sip.calls import planning_policy, planning_terms
from sip.calls.plan import CallPlan, Evidence, LineKind, Outcome, Party
from sip.calls.planning_terms import Terms
from sip.calls.ports import ClosedCall, RecordingOrder
from storage import accounts, call_records, diagnoses, keys, lines, people, readers, recordings
from storage.accounts import Account
from storage.database import Database
from storage.diagnoses import CallDiagnosis
from storage.errors import NotFound
from storage.field_crypto import FieldKeys
from storage.keys import Kek
from storage.readers import EscrowKey, ReaderKey
from tests.recording.house import Leg
from tests.sip.worker.rig import until
from tests.year import almanac
from tests.year.diary import Diary, stamp

COMPANY = CompanyFacts("Acme", "FR", ("fr", "en"))
DPO = Actor("os:0", "here", "a case at court", "A-17")
OFFICER = "dora"  # approves holds and policies
DIAGNOSIS_DAYS = 7
READERS = {
    "quality": ("REC_QUALITY", "REC_CONTRACT", "REC_HEALTH", "REC_EMERGENCY"),
    "compliance": ("REC_MIFID", "REC_INSURANCE_FR", "REC_WHISTLEBLOW"),
}
AUDIO_S = 0.3


class DeskInFastTime(RecordingDesk):
    """The recorder looks at the real clock when it checks a proof."""

    def _request(self, order: RecordingOrder, kek: Kek, now: datetime) -> Begin:
        return super()._request(order, kek, datetime.now(UTC))


@dataclass
class House:
    services: Services
    desk: RecordingDesk
    destruction: RecordingDestruction
    book: DatabaseCallBook
    diary: Diary
    outside: Path
    moment: datetime = almanac.BEGINS
    monotonic_s: float = 0.0
    sweeper: Sweeper = field(init=False)
    policies: PolicyDesk = field(init=False)
    terms: Terms = field(init=False)
    accounts: list[Account] = field(default_factory=list)
    lines: dict[str, str] = field(default_factory=dict)  # id -> name
    calls: list[str] = field(default_factory=list)
    recorded: list[tuple[str, CallPlan]] = field(default_factory=list)
    contacts: list[str] = field(default_factory=list)  # consents that stand
    keks: set[str] = field(default_factory=set)  # week keys of which copies are kept

    def __post_init__(self) -> None:
        self.services.clock = lambda: self.moment
        ledger = self.services.keys.ledger.public_key()
        self.policies = PolicyDesk(self.services.db, ledger, lambda: self.moment)
        self.terms = Terms(
            Spoken(PromptStore(self.services.paths.prompts), self.services.paths.custom_prompts), COMPANY, self.policies
        )
        self.restart()

    def restart(self) -> None:
        """As the daemon after it ended: another process, another monotonic clock."""
        self.sweeper = Sweeper(self.services, monotonic=lambda: self.monotonic_s)

    def until(self, moment: datetime) -> None:
        """Time goes by, for both clocks."""
        self.monotonic_s += max(0.0, (moment - self.moment).total_seconds())
        self.moment = max(self.moment, moment)

    # --- who and what there is ------------------------------------------------------------------------------------

    async def set_up(self, scale: almanac.Scale, engine: str) -> None:
        seed = key_tools.new_escrow_seed()
        public, _ = key_tools.escrow_pair(seed)
        opens: dict[str, Any] = {"escrow": key_tools.escrow_text(seed), "readers": {}}
        async with self.services.db.transaction() as tx:
            await readers.set_escrow(tx, EscrowKey(key_tools.algorithm(public), public, self.moment))
        rights = {}
        for login, purposes in READERS.items():
            reader_id = await self._reader(login, purposes, opens["readers"])
            rights[reader_id] = purposes
        (self.outside / "opens.json").write_text(json.dumps(opens))
        ledger = self.services.keys.ledger.public_key().public_bytes_raw().hex()
        self.diary.write("instance", self.moment, engine=engine, ledger_public=ledger, diagnosis_days=DIAGNOSIS_DAYS,
                         readers=rights)  # fmt: skip
        async with self.services.db.transaction() as tx:
            await people.add(tx, OFFICER, OFFICER, self.moment, roles=("dpo",))
            for n in range(8):
                kept = {0: "none", 1: "standard"}.get(n)
                name, extension = f"desk{n}", str(100 + n)
                made = await accounts.add(tx, name, extension, "Somebody", self.moment, metadata_class=kept)
                self.accounts.append(made)
        for account in self.accounts:
            self.diary.write("account", self.moment, id=account.id, name=account.name, extension=account.extension)
        for drawn in almanac.lines(scale):
            line = await line_service.add(
                self.services, DPO, name=drawn.name, number=drawn.number, pack=drawn.pack, consent=drawn.consent,
                metadata_class=drawn.metadata_class, statute=drawn.statute,
            )  # fmt: skip
            self.lines[line.id] = line.name
            self.diary.write("line", self.moment, **{"id": line.id, "name": line.name, "pack": line.pack,
                                                     "class": line.metadata_class})  # fmt: skip

    async def _reader(self, login: str, purposes: tuple[str, ...], passphrases: dict[str, str]) -> str:
        public, secret = key_tools.generate_reader()
        passphrase = secrets.token_urlsafe(16)
        async with self.services.db.transaction() as tx:
            person = await people.add(tx, login, login, self.moment, roles=("reader",))
            bundle = seal_reader(ReaderSecret(person.id, secret, "JBSWY3DPEHPK3PXP"), passphrase)
            await readers.set_key(tx, ReaderKey(person.id, key_tools.algorithm(public), public, bundle, self.moment))
            for purpose in purposes:
                await readers.grant(tx, person.id, purpose, "quickstart", self.moment)
        passphrases[person.id] = passphrase
        return person.id

    # --- calls ----------------------------------------------------------------------------------------------------

    async def call(self, line_id: str, choose: random.Random, *, record: int | None = None) -> None:
        """One call that ends now. `record`: the number of the recording, which its tones tell."""
        ended = self.moment.replace(microsecond=0)
        began = ended - timedelta(seconds=choose.randrange(5, 1800))
        async with self.services.db.read() as tx:
            line = await lines.get(tx, line_id)
        called, number = choose.choice(self.accounts), choose.choice(almanac.numbers())
        refused = record is None and choose.random() < 0.2
        parties = [PolicyParty("a", "outside", "FR"), PolicyParty("b", "staff", "FR")]
        settled = await planning_policy.settle(self.terms, line, [called], parties, "inbound", began)
        decision = settled.recording
        plan = CallPlan(
            line_id=line.id, kind=LineKind.RING,
            caller=Party(None, number, "", "fr", "FR"), callee=planning_terms.account_party(called), stages=(),
            prompts={}, direction="inbound", **settled.fields(),
        )  # fmt: skip
        numbers = {"caller": number, "callee": called.extension}
        kept: tuple[str, ...] = ()
        if record is not None and decision.record:
            kept = await self._record(plan, decision, began, ended, numbers, choose, record)
        elif decision.record and refused:
            await self.book.note(plan, act("a", "key2", "2"), began)
        outcome = Outcome(code=200, cause="bye", recording="recorded" if kept else "not-asked")
        await self.book.close(ClosedCall(plan, outcome, began, ended, (ended - began).total_seconds(), kept))
        class_ = plan.metadata_class
        if class_ != "none":
            at = began if class_ == "standard" else began.replace(minute=0, second=0)
            expires = at + timedelta(days=DIAGNOSIS_DAYS)
            async with self.services.db.transaction() as tx:
                await diagnoses.add(tx, CallDiagnosis(plan.call_id, at, expires, "good", 430, {}))
        self.calls.append(plan.call_id)
        self.diary.write("call", ended, id=plan.call_id, line=line.id, began=stamp(began), ended=stamp(ended),
                         numbers=numbers, pack=line.pack, diagnosis=True,
                         **{"class": [line.metadata_class, called.metadata_class]})  # fmt: skip

    async def _record(
        self, plan: CallPlan, decision: RecordingDecision, began: datetime, ended: datetime, numbers: dict[str, str],
        choose: random.Random, record: int,
    ) -> tuple[str, ...]:  # fmt: skip
        heard = {"opt_in": ("key1", "1"), "none": ("statute", "")}.get(decision.mode.name.lower(), ("heard", ""))
        seqs = [await self.book.note(plan, act(leg, *heard), began) for leg in ("a", "b0")]
        order = RecordingOrder(secrets.token_hex(16), plan, ("a", "b0"), tuple(seqs), (plan.caller, plan.callee))
        tones = (300 + 20 * (record % 40), 1200 + 20 * (record // 40 % 40))
        legs = Leg(tones[0]), Leg(tones[1])
        try:
            await self.desk.begin(order, (legs[0].fd, legs[1].fd), began)
            for leg in legs:
                leg.grow(AUDIO_S)
            wrap = await self._wrap(order.rec_id)
            facts = {"id": order.rec_id, "call": plan.call_id,
                "line": plan.line_id, "pack": plan.recording.pack, "began": stamp(began),
                     "ended": stamp(ended), "numbers": numbers, "kek": wrap["kek_id"], "tones_hz": tones}  # fmt: skip
            objects = choose.random() < 0.08 and decision.destroy_on_objection
            if objects:
                seq = await self.book.note(plan, act("a", "objection", "2"), ended, order.rec_id)
                gone = await self.desk.destroy(order.rec_id, seq, ended)
            else:
                gone = not await self.desk.finish(order.rec_id, ended)
        finally:
            for leg in legs:
                leg.close()
        if not gone:
            self._steal(order.rec_id)
        self.diary.write("recording", ended, **facts, sha256=await self._sha256(order.rec_id))
        if objects:
            self.diary.write("objection", ended, recording=order.rec_id)
        self.recorded.append((order.rec_id, plan))
        return () if gone else (order.rec_id,)

    async def _wrap(self, rec_id: str) -> dict[str, str]:
        async with self.services.db.read() as tx:
            key = await keys.rec_key(tx, rec_id)
            of_week = await keys.kek_wraps(tx, key.kek_id)
        facts = {"rec_id": rec_id, "kek_id": key.kek_id, "wrap": key.wrap.hex()}
        with (self.outside / "wraps.jsonl").open("a") as file:
            file.write(json.dumps(facts) + "\n")
        if key.kek_id not in self.keks:
            self.keks.add(key.kek_id)
            with (self.outside / "keks.jsonl").open("a") as file:
                for wrap in of_week:
                    kept = {"kek_id": wrap.kek_id, "reader_id": wrap.reader_id, "blob": wrap.blob.hex()}
                    file.write(json.dumps(kept) + "\n")
        return facts

    def _steal(self, rec_id: str) -> None:
        shutil.copy(vault.sealed_path(self.services.paths.vault, rec_id), self.outside / "stolen" / rec_id)

    async def _sha256(self, rec_id: str) -> str | None:
        async with self.services.db.read() as tx:
            return (await recordings.get(tx, rec_id)).sha256

    async def living(self) -> list[tuple[str, CallPlan]]:
        """Recordings that are whole, the oldest first."""
        async with self.services.db.read() as tx:
            states = await recordings.states(tx, [rec_id for rec_id, _ in self.recorded])
        return [(rec_id, plan) for rec_id, plan in self.recorded if states.get(rec_id) == "whole"]

    async def has_record(self, call_id: str) -> bool:
        async with self.services.db.read() as tx:
            try:
                await call_records.get(tx, call_id)
            except NotFound:
                return False
        return True


def act(leg: str, what: str, key: str = "") -> Evidence:
    prompt = ("", "", "") if what in ("statute", "objection") else ("PROMPT_STAFF", "1", "ab" * 32)
    return Evidence(leg, what, *prompt, "fr", key, 900)


@asynccontextmanager
async def opened(data: Path, outside: Path, url: str, config: Path, scale: almanac.Scale) -> AsyncIterator[House]:
    """An instance of its own below `data`, with a recorder that runs. `config`: the configuration it is given."""
    paths = Paths(data)
    paths.make()
    (outside / "stolen").mkdir(parents=True)
    shutil.copy(config, paths.config)
    signing, proving, fields = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate(), FieldKeys.generate()
    for place, content in (
        (paths.ledger_key, signing.private_bytes_raw()),
        (paths.proof_key, proving.private_bytes_raw()),
        (paths.field_key, fields.to_json()),
    ):
        place.touch(0o600)
        place.write_bytes(content)
    db = await Database.open(url, fields, signing)
    services = Services(db, paths, configuration.load(paths.config), ServerKeys(fields, signing, proving))
    destruction = RecordingDestruction(db, paths.vault, signing, lambda: services.clock())
    desk = DeskInFastTime(
        db, paths.vault, DeskKeys(proof=proving, kek=signing), bitrate_bps=48000, min_free_mb=1,
        on_cut=lambda rec_id, why: None, destroy=destruction.on_objection, is_held=destruction.is_held,
    )  # fmt: skip
    house = House(services, desk, destruction, DatabaseCallBook(db), Diary(outside / "diary.jsonl"), outside)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(desk.run())
        try:
            await until(lambda: desk.recorder_pid != 0, 30)
            await house.set_up(scale, "sqlite" if db.is_sqlite else "postgresql")
            yield house
        finally:
            running.cancel()
            await asyncio.wait([running])
            await db.close()
