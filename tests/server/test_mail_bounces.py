"""A text that was ordered by mail, taken, and has failed since: its sender is told once, and not in its words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from server.mail_bounces import MailBounces
from server.mail_desk import MailDesk
from server.messaging import Messaging
from server.services import inboxes, mail_logins, people
from server.services.actor import Actor
from server.services.context import Services, open_services
from sms.mail.answers import Order
from sms.messages import State
from storage import expiry, mail_orders, sms_sent, tables
from storage.mail_orders import KEPT
from tests.server.alerting import receivers
from tests.server.alerting.receivers import Mailbox
from tests.server.text_house import Anybody
from tests.sms.mail.mailroom import ALICE, DOMAIN

ME = Actor("os:0", "here", "set up", "A-1")
HIS, HERS, WORDS, MAIL = "0612345678", "0612345679", "The zebra is 4711", "<7@company.example>"


def relayed(services: Services, box: Mailbox | None) -> None:
    settings = services.settings
    place = {"mail_relay": box.place if box else "", "mail_tls": "none", "mail_from": f"beffroi@{DOMAIN}"}
    services.settings = settings.model_copy(
        update={
            "alerts": settings.alerts.model_copy(update=place),
            "mail": settings.mail.model_copy(update={"domain": DOMAIN}),
        }
    )


async def ordered(services: Services, *numbers: str) -> tuple[str, ...]:
    """Ids of the texts of one mail that the desk takes; no carrier is there, so that they wait."""
    await people.add(services, ME, login="nora", name="Nora", roles=["dpo"])
    await inboxes.add(services, ME, name="hers", kind="person", account="alice")
    await inboxes.add_sender(
        services, ME, inbox="hers", address="+33162000001", classes=["conversation"], approved_by="nora"
    )
    login = (await mail_logins.add(services, ME, account="alice", senders=[ALICE])).login
    services.texts = Messaging(services, lambda _: [], Anybody())
    order = Order(login.id, ALICE, ALICE, numbers, WORDS, MAIL)
    for _ in range(2):  # handed in again, it is the same
        assert await MailDesk(services).accept(order) is None
    services.texts = None
    rows = await stored(services)
    assert len(rows) == len(numbers)
    return tuple(sorted(rows))


async def stored(services: Services) -> dict[str, bytes]:
    """What is in the table, as it lies there."""
    async with services.db.read() as tx:
        return {row["id"]: row["about_sealed"] for row in await tx.rows(tables.mail_orders.select())}


async def becomes(services: Services, text_id: str, state: State) -> None:
    async with services.db.transaction() as tx:
        await sms_sent.left(tx, [(text_id, state, "as tested", 0)], services.clock())


@asynccontextmanager
async def house(data: Path, box: Mailbox | None) -> AsyncIterator[Services]:
    """The instance, as after a start."""
    async with open_services(data) as services:
        relayed(services, box)
        yield services


@pytest.mark.promise("P21", "1.21", "0.1")
async def test_who_ordered_a_text_that_fails_is_told_once_and_not_in_its_words(data: Path) -> None:
    async with receivers.relay() as box:
        async with house(data, box) as services:
            [text_id] = await ordered(services, HIS)
            [lies] = (await stored(services)).values()
            for clear in (WORDS, ALICE, HIS, MAIL, "zebra"):
                assert clear.encode() not in lies
            await MailBounces(services).flush()
            assert box.mails == [], "it may still arrive"
            await becomes(services, text_id, State.REJECTED)
            await MailBounces(services).flush()
            await MailBounces(services).flush()
        async with house(data, box) as services:
            await MailBounces(services).flush()
            assert await stored(services) == {}
    [(mail_from, recipients, report)] = box.mails
    assert (mail_from, recipients, report["To"], report["In-Reply-To"]) == ("<>", [ALICE], ALICE, MAIL)
    assert report.get_content_type() == "multipart/report"
    said = report.as_string()
    assert f"rfc822; {HIS}@{DOMAIN}" in said and "Action: failed" in said and "Status: 5.0.0" in said
    assert "zebra" not in said and "4711" not in said


@pytest.mark.promise("P21")
async def test_each_text_of_a_mail_is_reported_for_itself_and_what_arrives_is_not(data: Path) -> None:
    async with receivers.relay() as box, house(data, box) as services:
        texts = await ordered(services, HIS, HERS, "0612345677")
        for text_id, state in zip(texts, (State.EXPIRED, State.DELIVERED, State.CANCELLED), strict=True):
            await becomes(services, text_id, state)
        await MailBounces(services).flush()
        assert await stored(services) == {}
    [(_, _, report)] = box.mails
    assert "Status: 5.4.7" in report.as_string()


@pytest.mark.promise("P21")
async def test_a_report_waits_for_a_relay_that_is_away_and_is_the_same_when_it_goes_twice(data: Path) -> None:
    async with receivers.relay() as box:
        pass  # nobody listens there any more
    async with house(data, box) as services:
        [text_id] = await ordered(services, HIS)
        await becomes(services, text_id, State.UNDELIVERED)
        kept, bounces = await stored(services), MailBounces(services)
        await bounces.flush()
        assert await stored(services) == kept
        async with receivers.relay() as back:
            relayed(services, back)
            await bounces.flush()
            assert back.mails == [], "a minute has not passed"
            now = services.clock()
            services.clock = lambda: now + timedelta(minutes=2)
            await bounces.flush()
            assert (len(back.mails), await stored(services)) == (1, {})
            async with services.db.transaction() as tx:  # as if the process had ended before it was forgotten
                [values] = [{"id": text_id, "about_sealed": lies} for lies in kept.values()]
                await tx.write(
                    tables.mail_orders.insert().values(**values, login_id="l", arrived_at=now, expires_at=now + KEPT)
                )
            await MailBounces(services).flush()
            first, second = (report for _, _, report in back.mails)
            assert first["Message-ID"] == second["Message-ID"] != MAIL
            assert text_id not in first["Message-ID"]


@pytest.mark.promise("P21")
async def test_where_it_cannot_be_told_it_is_forgotten_and_logged_without_an_address(
    data: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with receivers.relay() as box, house(data, box) as services:
        box.refuse = {ALICE}
        first, second = await ordered(services, HIS, HERS)
        await becomes(services, first, State.FAILED)
        await MailBounces(services).flush()
        assert list(await stored(services)) == [second] and "RCPT 550" in caplog.text
        relayed(services, None)
        await becomes(services, second, State.REFUSED)
        await MailBounces(services).flush()
        assert await stored(services) == {} and "no mail relay is configured" in caplog.text
    assert box.mails == []
    for clear in (ALICE, HIS, HERS, WORDS, MAIL):
        assert clear not in caplog.text


@pytest.mark.promise("L3", "2.5")
async def test_what_nobody_hears_of_goes_after_a_week_and_with_its_text(data: Path) -> None:
    async with receivers.relay() as box, house(data, box) as services:
        first, second = await ordered(services, HIS, HERS)
        now = services.clock()
        async with services.db.read() as tx:
            assert await expiry.until(tx, "mail_order", now + KEPT - timedelta(hours=1), limit=9) == ()
            due = await expiry.until(tx, "mail_order", now + KEPT + timedelta(hours=1), limit=9)
            assert sorted(one.item_id for one in due) == [first, second]
            assert await mail_orders.over(tx, 9) == ()
        async with services.db.transaction() as tx:
            await expiry.remove(tx, "text_sent", [first])
        await MailBounces(services).flush()
        assert list(await stored(services)) == [second]
    assert box.mails == []
