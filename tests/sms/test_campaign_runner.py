"""Campaigns that run, on SQLite and on PostgreSQL: one message for each who may be written to, whatever happens."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from sms import campaign_runner, sealing
from sms.campaign_runner import Alarm, CampaignRunner, Draft, Plan, Terms, seal_of
from sms.campaign_words import Words
from sms.sealing import SentKeys
from sms.text import segments
from storage import campaigns, consents, contact_references, keys, sms_sent, suppressions, tables
from storage.campaigns import Campaign, Fate, Recipient, Wording
from storage.errors import Unavailable
from storage.field_crypto import FieldKeys
from storage.sms_sent import NewText
from storage.tx import Tx
from tests.sms.conftest import House, OwnKeks

TERMS = Terms("prudent", "Beffroi", "FR")
LIST = [Recipient(line, f"+3361234{line:04d}", {"Prénom": f"Doris{line}"}) for line in range(2, 22)]


@dataclass
class Maker:
    """Texts as the server makes them."""

    keks: OwnKeks
    keys: SentKeys = field(default_factory=SentKeys)

    async def ready(self, plan: Plan, now: datetime) -> Any:
        return await self.keks.current(plan.inbox.sent_purpose, now)

    async def made(self, tx: Tx, ready: Any, plan: Plan, drafts: Sequence[Draft], now: datetime) -> list[NewText]:
        found = []
        for one in drafts:
            cut = segments.plan(one.words, transliterated=plan.transliterated)
            message_id = secrets.token_hex(16)
            key_id, body = await self.keys.seal(tx, ready, now, message_id, sealing.words(cut.text))
            found.append(
                NewText(
                    plan.inbox.id, plan.sender.id, plan.campaign.created_by, one.recipient, cut.parts, str(cut.coding),
                    1, plan.campaign.message_class, "SMS_MARKETING", "GDPR", now, now + timedelta(days=1),
                    now + timedelta(days=30), now + timedelta(days=365), evidence=one.evidence,
                    campaign_id=plan.campaign.id, key_id=key_id, body_sealed=body, id=message_id,
                )
            )  # fmt: skip
        return found

    def forget(self) -> None:
        self.keys.forget()


@dataclass
class Office:
    house: House
    keks: OwnKeks
    ended: list[tuple[str, str]] = field(default_factory=list)
    alarmed: list[str] = field(default_factory=list)
    woken: int = 0

    def runner(self) -> CampaignRunner:
        return CampaignRunner(
            self.house.database, Maker(self.keks), self.house.clock, terms=lambda: TERMS, sent=self.sent,
            ended=lambda campaign_id, why: self.ended.append((campaign_id, why)), alarm=Alarm(3, 100),
            alarmed=self.alarmed.append,
        )  # fmt: skip

    def sent(self) -> None:
        self.woken += 1

    async def campaign(self, name: str = "summer", some: Sequence[Recipient] = LIST, **said: Any) -> Campaign:
        """Approved and started."""
        now = self.house.clock()
        fields: dict[str, Any] = {
            "name": name, "inbox_id": self.house.sales.id, "sender_id": self.house.shown.id,
            "message_class": "marketing", "sector": "telecom", "target": "ask", "language": "fr", "per_minute": 6000,
            "starts_at": now, "ends_at": now + timedelta(days=7), "created_by": "a" * 32,
            "expires_at": now + timedelta(days=365),
        }  # fmt: skip
        async with self.house.database.transaction() as tx:
            made = await campaigns.add(tx, now, Wording("Bonjour {prénom}, c'est l'été.", True), **(fields | said))
            await campaigns.add_recipients(tx, made.id, some, now)
            approved = await seal_of(tx, made)
            await campaigns.move(tx, made.id, "draft", "running", now, approved_by="b" * 32, approved_sha256=approved)
            return await campaigns.get(tx, made.id)

    async def agree(self, some: Sequence[Recipient] = LIST) -> None:
        now = self.house.clock()
        async with self.house.database.transaction() as tx:
            for one in some:
                await consents.add(
                    tx, now, number=one.number, channel="sms", purpose="telecom", act="checkbox",
                    given_at=now - timedelta(days=9), expires_at=now + timedelta(days=300), collector="us",
                    source="form", legal_basis="x", kept_until=now + timedelta(days=900),
                )  # fmt: skip

    async def object(self, number: str, channel: str = "sms", reason: str = "objection") -> None:
        now = self.house.clock()
        async with self.house.database.transaction() as tx:
            await suppressions.add(
                tx, number, now, channel=channel, reason=reason, source="sms", since=now - timedelta(minutes=1),
                until=None, purpose="x", legal_basis="x", kept_until=now + timedelta(days=900),
            )  # fmt: skip

    async def through(self, runner: CampaignRunner | None = None) -> CampaignRunner:
        """Rounds until nothing is due for a while; the clock goes on by what the runner would wait."""
        runner = runner or self.runner()
        for _ in range(500):
            wait_s = await runner.due()
            if wait_s > 5:
                return runner
            self.house.clock.on(seconds=wait_s)
        raise AssertionError("it never rests")

    async def fates(self, campaign: Campaign) -> dict[int, Fate]:
        async with self.house.database.read() as tx:
            return {one.line: one for one in await campaigns.fates(tx, campaign.id)}

    async def state(self, campaign: Campaign) -> tuple[str, str]:
        async with self.house.database.read() as tx:
            found = await campaigns.get(tx, campaign.id)
        return found.state, found.why

    async def sent_to(self, campaign: Campaign) -> Counter[str]:
        async with self.house.database.read() as tx:
            found = await sms_sent.list_all(tx, campaign_id=campaign.id, limit=1000)
            return Counter((await sms_sent.recipients(tx, [one.id for one in found])).values())


@pytest.fixture
def office(house: House, keks: OwnKeks) -> Office:
    return Office(house, keks)


@pytest.mark.parametrize(
    ("number", "country"),
    [("+33612345678", "FR"), ("+262692123456", "RE"), ("+262639012345", "YT"), ("+12125550123", "US"),
     ("+14165550123", "CA"), ("+447400123456", "GB"), ("+4915112345678", "DE"), ("+870776123456", None),
     ("+99912345678", None), ("+", None)],
)  # fmt: skip
def test_the_country_of_a_number(number: str, country: str | None) -> None:
    assert campaign_runner.country_of(number) == country


@pytest.mark.promise("1.1", "1.4", "1.7", "P22")
async def test_each_who_may_be_written_to_gets_one_message_of_their_own(office: Office) -> None:
    await office.agree(LIST[:15])
    await office.object(LIST[3].number)
    campaign = await office.campaign()
    await office.through()
    expected = {one.number for n, one in enumerate(LIST[:15]) if n != 3}
    assert await office.sent_to(campaign) == dict.fromkeys(expected, 1)
    fates = await office.fates(campaign)
    assert {fates[line].why for line in range(17, 22)} == {"no_consent"}
    assert (fates[LIST[3].line].state, fates[LIST[3].line].why) == ("refused", "suppressed")
    async with office.house.database.transaction() as tx:
        queued = await sms_sent.due(tx, office.house.clock(), limit=99)
        for one in queued:
            name = f"Doris{int(one.recipient[-4:])}"
            assert one.texts == (f"Beffroi: Bonjour {name}, c'est l'été. Répondez STOP pour refuser",)
            proof = await consents.get(tx, one.sent.evidence)
            assert proof.number == one.recipient and proof.kept_until > office.house.clock() + timedelta(days=1000)
    assert await office.state(campaign) == ("done", "") and office.ended == [(campaign.id, "")]
    assert office.woken >= 1


@pytest.mark.promise("1.6")
async def test_late_messages_wait_for_the_morning(office: Office) -> None:
    await office.agree()
    office.house.clock.now = datetime(2026, 11, 28, 18, 30, tzinfo=UTC)  # Saturday, half past seven
    campaign = await office.campaign()
    runner = await office.through()
    assert not await office.sent_to(campaign)
    fates = await office.fates(campaign)
    monday = datetime(2026, 11, 30, 7, 0, tzinfo=UTC)
    assert {(f.state, f.why, f.due_at) for f in fates.values()} == {("later", "hours", monday)}
    office.house.clock.now = monday
    await office.through(runner)
    assert sum((await office.sent_to(campaign)).values()) == len(LIST)


@pytest.mark.promise("1.3")
async def test_who_objects_between_start_and_turn_gets_nothing(office: Office) -> None:
    await office.agree()
    campaign = await office.campaign(per_minute=60)
    runner = office.runner()
    await runner.due()
    taken = await office.sent_to(campaign)
    assert len(taken) == 1
    await office.object(LIST[5].number)
    await office.through(runner)
    assert LIST[5].number not in await office.sent_to(campaign)


async def test_no_more_than_so_many_a_minute(office: Office) -> None:
    await office.agree()
    campaign = await office.campaign(per_minute=9)
    runner = office.runner()
    when: list[datetime] = []
    for number in range(400):
        before = sum((await office.sent_to(campaign)).values())
        wait_s = await runner.due()
        when += [office.house.clock()] * (sum((await office.sent_to(campaign)).values()) - before)
        if number == 12:
            runner = office.runner()  # another process: what went before it still counts
        if len(when) == len(LIST):
            break
        office.house.clock.on(seconds=max(wait_s, 0.5))
    assert len(when) == len(LIST)
    for at in when:
        assert sum(at - timedelta(minutes=1) < other <= at for other in when) <= 9
    assert when[-1] - when[0] < timedelta(minutes=4)


@pytest.mark.promise("P22")
async def test_paused_resumed_and_cancelled(office: Office) -> None:
    await office.agree()
    campaign = await office.campaign(per_minute=60)
    runner, clock = office.runner(), office.house.clock
    await runner.due()
    async with office.house.database.transaction() as tx:
        await campaigns.move(tx, campaign.id, "running", "paused", clock())
    clock.on(minutes=2)
    await runner.due()
    assert len(await office.sent_to(campaign)) == 1
    async with office.house.database.transaction() as tx:
        await campaigns.move(tx, campaign.id, "paused", "running", clock())
    await runner.due()
    assert len(await office.sent_to(campaign)) == 2
    async with office.house.database.transaction() as tx:
        await campaigns.move(tx, campaign.id, "running", "cancelled", clock())
        assert await campaigns.end_recipients(tx, campaign.id, "cancelled", "") == 18
        assert await sms_sent.cancel(tx, campaign_id=campaign.id, now=clock()) == 2
    clock.on(minutes=2)
    await runner.due()
    assert len(await office.sent_to(campaign)) == 2


@pytest.mark.promise("P22")
async def test_what_was_altered_after_approval_does_not_leave(office: Office) -> None:
    await office.agree()
    campaign = await office.campaign()
    async with office.house.database.transaction() as tx:
        await campaigns.set_wording(tx, campaign.id, Wording("Bonjour, gagnez un million"))
    await office.through()
    assert not await office.sent_to(campaign)
    assert await office.state(campaign) == ("paused", "altered") and office.ended == [(campaign.id, "altered")]


async def test_its_time_is_over(office: Office) -> None:
    await office.agree()
    ends = office.house.clock() + timedelta(minutes=1)
    campaign = await office.campaign(per_minute=60, ends_at=ends)
    runner = office.runner()
    await runner.due()
    office.house.clock.now = ends
    await office.through(runner)
    assert len(await office.sent_to(campaign)) == 1
    states = Counter((one.state, one.why) for one in (await office.fates(campaign)).values())
    assert states == {("taken", ""): 1, ("refused", "over"): 19}
    assert await office.state(campaign) == ("done", "over")


async def test_it_begins_when_it_was_told_to(office: Office) -> None:
    await office.agree()
    starts = office.house.clock() + timedelta(hours=1)
    campaign = await office.campaign(starts_at=starts)
    assert await office.runner().due() == campaign_runner.IDLE_S
    assert not await office.sent_to(campaign)
    office.house.clock.now = starts
    await office.through()
    assert len(await office.sent_to(campaign)) == len(LIST)


@pytest.mark.promise("1.1")
async def test_the_ceiling_counts_what_other_campaigns_sent(office: Office) -> None:
    await office.agree()
    for number in range(4):
        await office.campaign(f"earlier-{number}", LIST[:2])
        await office.through()
        office.house.clock.on(minutes=5)
    last = await office.campaign("last", LIST[:3])
    await office.through()
    assert set(await office.sent_to(last)) == {LIST[2].number}
    fates = await office.fates(last)
    assert {fates[line].why for line in (2, 3)} == {"attempts"}
    assert {fates[line].state for line in (2, 3)} == {"refused"}  # its time is over before they may again


async def test_a_line_without_a_value_gets_nothing(office: Office) -> None:
    await office.agree()
    campaign = await office.campaign(some=[*LIST[:2], Recipient(9, LIST[5].number, {"Prénom": " "})])
    await office.through()
    assert set(await office.sent_to(campaign)) == {LIST[0].number, LIST[1].number}
    fate = (await office.fates(campaign))[9]
    assert (fate.state, fate.why) == ("refused", "template")


async def test_service_messages_need_no_consent_and_no_hour(office: Office) -> None:
    office.house.clock.now = datetime(2026, 11, 29, 22, 0, tzinfo=UTC)
    await office.object(LIST[0].number, "*")
    await office.object(LIST[1].number, "*", "order")
    campaign = await office.campaign(message_class="transactional", sector="other")
    await office.through()
    sent = await office.sent_to(campaign)
    assert len(sent) == len(LIST) - 1 and LIST[1].number not in sent
    async with office.house.database.transaction() as tx:
        queued = await sms_sent.due(tx, office.house.clock(), limit=1)
    assert queued[0].texts is not None and "STOP" not in "".join(queued[0].texts)


STEPS = [
    (sms_sent, "add_all"), (campaigns, "take"), (campaigns, "put_off"), (campaigns, "refuse"),
    (consents, "used_many"), (contact_references, "used_many"),
]  # fmt: skip


@pytest.mark.promise("1.7", "P22")
@pytest.mark.parametrize("after", [False, True])
async def test_whatever_is_cut_off_in_between_one_message_each(
    office: Office, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Every step fails once, before it and behind it; each time a new process goes on."""
    await office.agree()
    campaign = await office.campaign()
    for module, name in STEPS:
        real, runner, broken = getattr(module, name), office.runner(), [False]

        async def fails(*args: Any, real: Any = real, broken: list[bool] = broken) -> Any:
            if after:
                await real(*args)
            broken[0] = True
            raise Unavailable("the database went away")

        with monkeypatch.context() as patched:
            patched.setattr(module, name, fails)
            with pytest.raises(Unavailable):
                await runner.due()
        assert broken[0] and not await office.sent_to(campaign)
    await office.through()
    assert await office.sent_to(campaign) == dict.fromkeys((one.number for one in LIST), 1)


@pytest.mark.promise("1.7", "P22")
async def test_killed_while_it_sends_one_message_each(
    office: Office,
    url: str,
    field_keys: FieldKeys,
) -> None:
    """A process of its own, killed (SIGKILL) after a few commits, wherever it then is; another goes on."""
    some = [Recipient(line, f"+3361235{line:04d}", {"Prénom": f"Doris{line}"}) for line in range(2, 122)]
    await office.agree(some)
    campaign = await office.campaign(some=some, per_minute=60_000)
    dice = random.Random(7)  # noqa: S311
    for rounds in (1, 3, 2, 5, 4):
        office.house.clock.on(minutes=2)
        told = json.dumps({"url": url, "keys": field_keys.to_json().decode(), "now": office.house.clock().isoformat()})
        program = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.sms.campaign_victim", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert program.stdin is not None and program.stdout is not None
        program.stdin.write(told.encode() + b"\n")
        await program.stdin.drain()
        await program.stdout.readexactly(rounds)
        await asyncio.sleep(dice.random() * 0.05)
        program.kill()
        await program.wait()
    sent = await office.sent_to(campaign)
    assert 45 <= len(sent) < len(some) and set(sent.values()) == {1}
    states = Counter(one.state for one in (await office.fates(campaign)).values())
    assert states == {"taken": len(sent), "waiting": len(some) - len(sent)}
    office.house.clock.on(minutes=2)
    async with office.house.database.read() as tx:
        known = await keys.current_kek(tx, office.house.sales.sent_purpose, office.house.clock())
    assert known is not None
    office.keks.made[known.purpose] = known
    await office.through()
    assert await office.sent_to(campaign) == dict.fromkeys((one.number for one in some), 1)


async def test_an_error_of_ours_pauses_the_campaign_and_no_other(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    await office.agree()
    good, bad = await office.campaign("good", LIST[:3]), await office.campaign("bad", LIST[3:6])
    real = Words.text

    def wrong(self: Words, fields: Any) -> str:
        if fields == LIST[4].fields:
            raise RuntimeError("nobody had thought of it")
        return real(self, fields)

    monkeypatch.setattr(Words, "text", wrong)
    await office.through()
    assert await office.state(bad) == ("paused", "fault") and not await office.sent_to(bad)
    assert await office.state(good) == ("done", "")


@pytest.mark.promise("0.16", "1.15", "1.23")
async def test_many_who_say_stop_raise_an_alarm_once(office: Office, keks: OwnKeks) -> None:
    await office.agree()
    campaign = await office.campaign()
    runner, now = await office.through(), office.house.clock()
    kek = await keks.current(office.house.sales.purpose, now)
    async with office.house.database.transaction() as tx:
        ids = [one.id for one in await sms_sent.list_all(tx, campaign_id=campaign.id)]
        await sms_sent.set_states(tx, [(one, "delivered", "") for one in ids], now)

    async def replies(stop: str, times: int) -> None:
        async with office.house.database.transaction() as tx:
            rows = [
                {
                    "id": secrets.token_hex(16), "inbox_id": office.house.sales.id, "campaign_id": campaign.id,
                    "carrier": "one", "addresses_sealed": b"x", "digest": b"x", "body_sealed": b"x", "kek_id": kek.id,
                    "purpose": "x", "legal_basis": "x", "stop": stop, "sorting": "", "rule": "", "state": "new",
                    "parts": 1, "missing": 0, "received_at": now, "expires_at": now + timedelta(days=9),
                }
                for _ in range(times)
            ]  # fmt: skip
            await tx.write_each(insert(tables.sms_received), rows)

    await replies("none", 5)
    await replies("stop", 2)
    await runner.look()
    assert office.alarmed == []
    await replies("stop", 1)
    await runner.look()
    await runner.look()
    assert office.alarmed == [campaign.id]
    async with office.house.database.read() as tx:
        said = await campaign_runner.figures(tx, campaign.id)
    assert (said.delivered, said.replies, said.opt_outs, said.opt_out_per_mille) == (20, 8, 3, 150)
