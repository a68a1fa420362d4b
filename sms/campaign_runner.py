"""Campaigns that run: whose turn it is, whether they may be written to at this moment, and their message, in one
transaction. What ends this process in between leaves either both or neither: one message per recipient, always.

Who may not now waits until they may; who never may is refused, with the reason. Nothing leaves a campaign that was
altered since it was approved.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol, cast

import phonenumbers

from config import contact_rules
from retention import contact_case
from retention.contact_facts import Decision, Target
from sms import addresses, campaigns, permission
from sms.addresses import Address
from sms.campaign_words import Words, words_of
from sms.campaigns import Act, Figures, Seal, State
from sms.messages import CLASSES
from sms.permission import About, Entry, Person
from sms.text.templates import TemplateError
from storage import campaigns as stored
from storage import consents, contact_attempts, contact_many, contact_references, inboxes, sms_sent
from storage.campaigns import Campaign, Recipient
from storage.database import Database
from storage.errors import Conflict, StorageError
from storage.inboxes import Inbox, Sender
from storage.sms_sent import NewText
from storage.tx import Tx

log = logging.getLogger(__name__)

AT_ONCE = 200  # recipients in one transaction: others write too
_NOWHERE = "001"  # as the number library says it
_WITHOUT_WORDS = Decision(False, "no_rule", "", "its line leaves a field of the template empty")
IDLE_S = 30.0
AGAIN_S = 1.0  # after the database did not answer
MINUTE = timedelta(minutes=1)
WATCHED = timedelta(days=7)  # STOP comes late: figures are looked at so long after the last message
# Why one runs no more: its time was over; what was approved is not what is there; an error of ours; its sender is gone.
OVER, ALTERED, FAULT, NO_SENDER = "over", "altered", "fault", "sender"
TEMPLATE = "template"  # why somebody gets nothing, beside the grounds of a decision: a field has no value


@dataclass(frozen=True, slots=True)
class Draft:
    """One message: what it says, to whom, and what it rests on."""

    recipient: str = field(repr=False)
    words: str = field(repr=False)
    evidence: str


@dataclass(frozen=True, slots=True)
class Plan:
    """What the messages of a campaign have in common."""

    campaign: Campaign
    inbox: Inbox
    sender: Sender
    transliterated: bool


@dataclass(frozen=True, slots=True)
class Terms:
    """The company's: the hours that it has bound itself to, who it says it is, in which country it has its codes."""

    hours_profile: str
    identity: str
    country: str


class Maker(Protocol):
    """Makes texts for the queue: split, with periods, sealed to the readers of the inbox."""

    async def ready(self, plan: Plan, now: datetime) -> Any:
        """What it needs, before the transaction. Raises StorageError."""

    async def made(self, tx: Tx, ready: Any, plan: Plan, drafts: Sequence[Draft], now: datetime) -> Sequence[NewText]:
        """One for each, in order, in state `queued`. Raises StorageError."""

    def forget(self) -> None:
        """The transaction failed."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """When somebody should look at how many say STOP: so many, and so many to a thousand that were delivered."""

    at_least: int
    per_mille: int


@dataclass(slots=True)
class _Running:
    """What is known of one campaign in this process."""

    plan: Plan
    words: Words
    sender: Address
    taken: deque[tuple[datetime, int]] = field(default_factory=deque)  # in the last minute
    not_before: datetime | None = None


class CampaignRunner:
    """One for the daemon. `run` sends; `wake` after a campaign was started or resumed."""

    def __init__(
        self,
        database: Database,
        maker: Maker,
        clock: Callable[[], datetime],
        *,
        terms: Callable[[], Terms],
        sent: Callable[[], None] = lambda: None,
        ended: Callable[[str, str], None] = lambda campaign_id, why: None,
        alarm: Alarm | None = None,
        alarmed: Callable[[str], None] = lambda campaign_id: None,
    ) -> None:
        """`sent`: something waits to go out. `ended`: by itself, with the reason ("" : everybody had their turn)."""
        self._database, self._maker, self._clock = database, maker, clock
        self._terms = terms
        self._sent, self._ended = sent, ended
        self._alarm, self._alarmed = alarm, alarmed
        self._told: set[str] = set()
        self._wake = asyncio.Event()
        self._running: dict[str, _Running] = {}
        self.errors = 0

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    async def run(self) -> None:
        """For as long as the daemon lives."""
        while True:
            self._wake.clear()
            try:
                wait_s = await self.due()
            except StorageError as error:
                self.errors += 1
                log.error("campaigns wait: %s", error)
                wait_s = AGAIN_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def due(self) -> float:
        """A round of every running campaign; for how many seconds nothing else is due. Raises StorageError."""
        async with self._database.read() as tx:
            found = await stored.list_all(tx, states=(State.RUNNING,))
        for gone in self._running.keys() - {one.id for one in found}:
            del self._running[gone]
        waits = [await self._guarded(one) for one in found]
        return max(0.0, min([IDLE_S, *waits]))

    async def _guarded(self, campaign: Campaign) -> float:
        """What is our own fault stops this campaign, and no other."""
        try:
            return await self._of(campaign)
        except StorageError:
            raise
        except Exception:  # whatever it was: this campaign is paused, the others go on
            self.errors += 1
            log.exception("campaign %s is paused: it met what nobody had thought of", campaign.id)
            self._running.pop(campaign.id, None)
            async with self._database.transaction() as tx:
                if await stored.hold_still(tx, campaign.id, State.RUNNING, self._clock()):
                    await stored.move(tx, campaign.id, State.RUNNING, State.PAUSED, self._clock(), why=FAULT)
            self._ended(campaign.id, FAULT)
            return IDLE_S

    async def look(self) -> None:
        """At how many say STOP, in campaigns that run or ran lately: called now and then. Raises StorageError."""
        if self._alarm is None:
            return
        since = self._clock() - WATCHED
        async with self._database.read() as tx:
            states = (State.RUNNING, State.PAUSED, State.DONE, State.CANCELLED)
            for one in await stored.list_all(tx, states=states):
                if one.id in self._told or one.updated_at < since:
                    continue
                now = await figures(tx, one.id)
                limit = self._alarm
                if campaigns.too_many_opt_outs(now, at_least=limit.at_least, per_mille=limit.per_mille):
                    self._told.add(one.id)
                    self._alarmed(one.id)

    # --- one campaign -----------------------------------------------------------------------------------------------

    async def _of(self, campaign: Campaign) -> float:
        now = self._clock()
        if now < campaign.starts_at:
            return (campaign.starts_at - now).total_seconds()
        known = self._running.get(campaign.id)
        if known is None:
            known = await self._begin(campaign, now)
            if known is None:
                return IDLE_S
        if known.not_before is not None and now < known.not_before:
            return (known.not_before - now).total_seconds()
        if (room := _room(known, now)) <= 0:
            return (known.taken[0][0] + MINUTE - now).total_seconds()
        ready = await self._maker.ready(known.plan, now)
        try:
            async with self._database.transaction() as tx:
                said = await self._round(tx, known, ready, room, now)
        except BaseException:
            self._maker.forget()
            raise
        if said.ended is not None:
            self._running.pop(campaign.id, None)
            self._ended(campaign.id, said.ended)
            return IDLE_S
        if said.taken:
            known.taken.append((now, said.taken))
            known.not_before = now + MINUTE * said.taken / campaign.per_minute
            self._sent()
        return 0.0 if said.next_at is None else (max(said.next_at, known.not_before or now) - now).total_seconds()

    async def _begin(self, campaign: Campaign, now: datetime) -> _Running | None:
        """What was approved is what is there; else it is paused, and somebody told. None: it does not run."""
        async with self._database.read() as tx:
            wording = await stored.wording(tx, campaign.id)
            if await seal_of(tx, campaign) != campaign.approved_sha256:
                known = None
            else:
                known = await self._known(tx, campaign, wording.template, wording.transliterated)
                lately = await sms_sent.campaign_since(tx, campaign.id, now - MINUTE)
                if lately:  # sent by the process before this one
                    known.taken.append((now, lately))
        if known is None:
            with contextlib.suppress(Conflict):
                async with self._database.transaction() as tx:
                    await stored.move(tx, campaign.id, State.RUNNING, State.PAUSED, now, why=ALTERED)
            log.error("campaign %s is not what was approved: it is paused", campaign.id)
            self._ended(campaign.id, ALTERED)
            return None
        self._running[campaign.id] = known
        return known

    async def _known(self, tx: Tx, campaign: Campaign, text: str, transliterated: bool) -> _Running:
        sender, inbox = await inboxes.sender(tx, campaign.sender_id), await inboxes.get(tx, campaign.inbox_id)
        address = addresses.of_text(sender.address)
        first = await stored.recipients(tx, campaign.id, limit=1)
        terms = self._terms()
        words = words_of(
            text,
            first[0].fields if first else (),
            message_class=campaign.message_class,
            identity=terms.identity,
            language=campaign.language,
            sender=address,
            stop_code=sender.stop_code,
            country=terms.country,
        )
        return _Running(Plan(campaign, inbox, sender, transliterated), words, address)

    async def _round(self, tx: Tx, known: _Running, ready: Any, room: int, now: datetime) -> _Round:
        campaign = known.plan.campaign
        if not await stored.hold_still(tx, campaign.id, State.RUNNING, now):
            return _Round(ended=None, next_at=now + timedelta(seconds=IDLE_S))
        if now >= campaign.ends_at:
            await stored.end_recipients(tx, campaign.id, "refused", OVER)
            return await self._done(tx, campaign, now, OVER)
        sender = await inboxes.sender(tx, campaign.sender_id)
        if sender.disabled_at is not None:
            await stored.move(tx, campaign.id, State.RUNNING, State.PAUSED, now, why=NO_SENDER)
            return _Round(ended=NO_SENDER)
        due = await stored.due(tx, campaign.id, now, limit=min(AT_ONCE, room, max(1, campaign.per_minute // 60)))
        if not due:
            next_at = await stored.next_due(tx, campaign.id)
            return await self._done(tx, campaign, now, "") if next_at is None else _Round(next_at=next_at)
        decided = await self._decide(tx, known, due, now)
        may, drafts, rest = list[Recipient](), list[Draft](), list[tuple[Recipient, Decision]]()
        for one, decision in zip(due, decided, strict=True):
            if not decision.allowed:
                rest.append((one, decision))
                continue
            try:
                drafts.append(Draft(one.number, known.words.text(one.fields), decision.evidence))
            except TemplateError:  # a field that this line leaves empty
                rest.append((one, _WITHOUT_WORDS))
            else:
                may.append(one)
        texts = await self._maker.made(tx, ready, known.plan, drafts, now) if drafts else ()
        await sms_sent.add_all(tx, texts, now)
        await stored.take(tx, campaign.id, [(one.line, text.id) for one, text in zip(may, texts, strict=True)])
        await self._rest(tx, campaign, rest)
        evidence = sorted({one.evidence for one in drafts if one.evidence})
        until = contact_case.kept_until(contact_case.EVIDENCE_PACK, now)
        await consents.used_many(tx, evidence, until)
        await contact_references.used_many(tx, evidence, until)
        return _Round(taken=len(texts))

    async def _done(self, tx: Tx, campaign: Campaign, now: datetime, why: str) -> _Round:
        await stored.move(tx, campaign.id, State.RUNNING, campaigns.after(State.RUNNING, Act.FINISH), now, why=why)
        return _Round(ended=why)

    async def _rest(self, tx: Tx, campaign: Campaign, refused: Sequence[tuple[Recipient, Decision]]) -> None:
        later, never = [], []
        for one, said in refused:
            if said.again_at is not None and said.again_at < campaign.ends_at:
                later.append((one.line, said.ground, said.again_at))
            else:
                never.append((one.line, TEMPLATE if said is _WITHOUT_WORDS else said.ground))
        await stored.put_off(tx, campaign.id, later)
        await stored.refuse(tx, campaign.id, never)

    async def _decide(self, tx: Tx, known: _Running, due: Sequence[Recipient], now: datetime) -> Sequence[Decision]:
        campaign = known.plan.campaign
        people = [Person(one.number, country_of(one.number)) for one in due]
        if not CLASSES[campaign.message_class].needs_permission:
            return await decide_others(tx, campaign.message_class, people, now)
        # Two campaigns that come to the same person at once would both be the last that the ceiling lets through.
        await contact_attempts.lock_many(tx, [one.number for one in people])
        about = About(
            campaign.sector, cast(Target, campaign.target), addresses.as_text(known.sender), self._terms().hours_profile
        )
        rules = await asyncio.to_thread(contact_rules.load)
        facts = await permission.facts_of(tx, people, about, rules, now)
        return await asyncio.to_thread(permission.decide_many, facts, rules, now)


@dataclass(frozen=True, slots=True)
class _Round:
    """`ended`: why it runs no more; None: it does."""

    taken: int = 0
    next_at: datetime | None = None
    ended: str | None = None


def _room(known: _Running, now: datetime) -> int:
    """How many may be taken without there being more than `per_minute` in any minute."""
    while known.taken and known.taken[0][0] <= now - MINUTE:
        known.taken.popleft()
    return known.plan.campaign.per_minute - sum(n for _, n in known.taken)


# --- what others need too -------------------------------------------------------------------------------------------


async def seal_of(tx: Tx, campaign: Campaign) -> str:
    """Of what is there now. Raises NotFound."""
    said = await stored.wording(tx, campaign.id)
    seal = Seal(
        said.template,
        transliterated=said.transliterated,
        sender_id=campaign.sender_id,
        message_class=campaign.message_class,
        sector=campaign.sector,
        target=campaign.target,
        language=campaign.language,
    )
    async for some in stored.every_recipient(tx, campaign.id):
        for one in some:
            seal.recipient(one.line, one.number, one.fields)
    return seal.hexdigest()


async def decide_others(tx: Tx, message_class: str, people: Sequence[Person], now: datetime) -> list[Decision]:
    """Of campaigns that advertise nothing. One for each, in order."""
    known = await contact_many.known(tx, [one.number for one in people], "sms", now)
    decided = []
    for one in people:
        rows = known[one.number].suppressions if one.number in known else ()
        decided.append(permission.decide_other(message_class, [Entry(*row) for row in rows], None, now))
    return decided


async def figures(tx: Tx, campaign_id: str) -> Figures:
    """Counted now."""
    replies = await stored.replies(tx, campaign_id)
    return campaigns.figures(
        await stored.counts(tx, campaign_id),
        await sms_sent.counts(tx, campaign_id),
        await stored.grounds(tx, campaign_id),
        sum(replies.values()),
        replies.get("stop", 0),
    )


def country_of(number: str) -> str | None:
    """ISO 3166, of a number in international form; None where it belongs to none."""
    regions: Mapping[int, tuple[str, ...]] = phonenumbers.COUNTRY_CODE_TO_REGION_CODE
    # No calling code begins with another one (ITU-T E.164): most belong to one country, and nothing else is to be read.
    only = next((regions[code] for end in (2, 3, 4) if (code := int(number[1:end] or 0)) in regions), ())
    if len(only) == 1:
        return only[0] if only[0] != _NOWHERE else None
    try:
        found = phonenumbers.region_code_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return None
    return found if found and found != _NOWHERE else None
