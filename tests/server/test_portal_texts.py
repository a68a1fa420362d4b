"""Conversations with their words, as the portal shows them: from which address an answer leaves, what is written down
as looked at, and that every text that can come is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyotp
import pytest

from server.failure import Failure
from server.rights import Identity
from server.services import identities, inboxes, portal_listening, portal_texts, texts
from server.services.audit import MAX_REASON_CHARS
from server.services.context import Services
from server.services.portal_texts import MOST, Thread
from sms import addresses
from sms.messages import State
from storage import access, conversations, people, sms_received, sms_sent
from storage import inboxes as stored
from tests.server.test_large_house import statements
from tests.server.test_portal_listening import entries, refused
from tests.server.text_house import HERS, HIS, ME, SHOWN, Desk, furnish, ids, longest, running
from tests.sms.conftest import until

SECOND = "+33162000003"  # of support as well


class Me:
    """`reader`, who has signed in to the portal."""

    def __init__(self, services: Services, identity: Identity, secrets: Mapping[str, str]) -> None:
        self.services, self.identity, self._secrets = services, identity, secrets

    async def unlocks(self, reason: str = "the morning round") -> None:
        code = pyotp.TOTP(self._secrets["totp_secret"]).at(datetime.now(UTC))
        await portal_texts.unlock(
            self.services, self.identity, workstation="192.0.2.7", passphrase=self._secrets["passphrase"], code=code,
            reason=reason,
        )  # fmt: skip

    async def looks(self, conversation: str, *, apart: bool = False) -> Thread:
        return await portal_texts.thread(
            self.services, self.identity, workstation="192.0.2.7", inbox="support", conversation=conversation,
            apart=apart,
        )  # fmt: skip

    async def answers(self, conversation: str, words: str = "Oui") -> None:
        await portal_texts.reply(
            self.services, self.identity, workstation="192.0.2.7", inbox="support", conversation=conversation,
            words=words,
        )  # fmt: skip


@pytest.fixture
async def house(services: Services) -> AsyncIterator[Services]:
    await furnish(services)
    async with services.db.transaction() as tx:
        for login in ("reader", "cora"):
            await people.set_roles(tx, (await people.by_login(tx, login)).id, ["employee", "reader"])
    classes = ["conversation", "marketing"]
    await inboxes.add_sender(services, ME, inbox="support", address=SECOND, classes=classes, approved_by="nora")
    yield services
    for session in list(services.reader_rooms._rooms):
        await services.reader_rooms.end(session)


@pytest.fixture
async def desk(house: Services) -> AsyncIterator[Desk]:
    async with running(house) as opened:
        yield opened


async def signed_in(services: Services, login: str, session: str) -> Identity:
    async with services.db.read() as tx:
        return replace(await identities.read(tx, await people.by_login(tx, login)), session_id=session)


@pytest.fixture
async def me(house: Services, shown: dict[str, Any]) -> Me:
    return Me(house, await signed_in(house, "reader", "a" * 32), shown["reader"])


async def talks(services: Services) -> dict[tuple[str, str], str]:
    """Ids of the conversations of support, by the address of ours and the number on the other side."""
    async with services.db.read() as tx:
        box = await stored.by_name(tx, "support")
        ours = {one.id: one.address for one in await stored.senders(tx, inbox_id=box.id)}
        found = await conversations.list_all(tx, [box.id], limit=MOST + 99)
        return {(ours[one.sender_id], await conversations.remote(tx, one.id)): one.id for one in found}


async def looked_at(services: Services) -> list[str]:
    """Ids of the texts that stand in the access log as shown."""
    return [e["text_id"] for e in await entries(services) if (e["action"], e["object"]) == ("show", "text")]


async def states(services: Services) -> dict[str, str]:
    async with services.db.read() as tx:
        box = await stored.by_name(tx, "support")
        return {one.id: one.state for one in await sms_received.list_all(tx, inbox_ids=[box.id], limit=MOST + 99)}


async def asked(services: Services, me: Me) -> dict[str, int]:
    """How many statements each of these takes, whatever there is."""
    newest = max((await talks(services)).values())
    looks: dict[str, Callable[[], Awaitable[object]]] = {
        "marker": lambda: portal_texts.marker(services, me.identity, conversation=newest),
        "inboxes": lambda: inboxes.list_(services, ME, login="reader"),
        "conversations": lambda: inboxes.list_conversations(services, ME, login="reader", inbox="support"),
        "requests": lambda: inboxes.requests(services, ME, login="reader"),
        "handed over": lambda: inboxes.hand_over(services, ME, login="reader", conversation=newest, to="reader"),
        "rooms": lambda: portal_listening.purposes(services, me.identity),
    }
    found = {}
    for what, look in looks.items():
        with statements(services.db) as said:
            await look()
        found[what] = len(said)
    return found


async def test_more_inboxes_and_conversations_take_no_more_statements(house: Services, desk: Desk, me: Me) -> None:
    await desk.comes("Mon nom est mal écrit, merci de corriger", HIS, SHOWN)
    for talk in (await talks(house)).values():
        await inboxes.hand_over(house, ME, login="reader", conversation=talk, to="reader")
    few = await asked(house, me)
    for number, name in enumerate(("anvil", "bench", "chest", "drill", "easel", "forge", "gauge", "hinge", "ingot")):
        await inboxes.add(house, ME, name=name)
        await inboxes.member(house, ME, inbox=name, login="reader", reading=True, sent=True)
        await desk.comes("Mon nom est mal écrit, merci de corriger", f"+3361234500{number}", SHOWN)
    for talk in (await talks(house)).values():
        await inboxes.hand_over(house, ME, login="reader", conversation=talk, to="reader")
    assert len(await inboxes.list_conversations(house, ME, login="reader", inbox="support")) == 10
    assert await asked(house, me) == few


async def test_a_marker_changes_with_any_text_of_its_conversation_and_with_no_other(
    house: Services, desk: Desk, me: Me
) -> None:
    """Also where the inbox has sent much since."""

    async def marker(talk: str) -> str:
        return await portal_texts.marker(house, me.identity, conversation=talk)

    async def sends(to: str) -> str:
        made = await texts.send(house, ME, login="reader", inbox="support", to=to, words="Oui", sender=SHOWN)
        await until(lambda: len(desk.carrier.given) == len(sent) + 1)
        assert made.id is not None
        return made.id

    sent = list[str]()
    await desk.comes("Bonjour ?", HIS, SHOWN)
    talk, seen = (await talks(house))[SHOWN, HIS], list[str]()
    seen.append(await marker(talk))
    sent.append(await sends(HIS))
    for number in range(11):
        sent.append(await sends(f"+3361234500{number % 10}"))
    await settled(house, sent)
    seen.append(await marker(talk))
    await desk.comes("Bonjour ?", HERS, SHOWN)
    assert await marker(talk) == seen[-1]
    async with house.db.transaction() as tx:
        await sms_sent.set_states(tx, [(sent[0], State.DELIVERED, "")], house.clock())
    seen.append(await marker(talk))
    await desk.comes("Alors ?", HIS, SHOWN)
    seen.append(await marker(talk))
    async with house.db.transaction() as tx:
        await sms_received.mark_read(tx, [(await ids(house))[-1]])
    seen.append(await marker(talk))
    assert len(set(seen)) == len(seen)
    cora = await signed_in(house, "cora", "c" * 32)
    for nobodys in (talk, "0" * 32):
        with refused("not_found"):
            await portal_texts.marker(house, cora, conversation=nobodys)


async def settled(services: Services, sent: list[str]) -> None:
    """The network has taken them."""
    async with asyncio.timeout(20):
        while True:
            async with services.db.read() as tx:
                if {one.state for one in (await sms_sent.brief(tx, sent)).values()} == {State.SENT}:
                    return
            await asyncio.sleep(0.02)


# --- answering --------------------------------------------------------------------------------------------------------


async def test_an_answer_leaves_from_the_address_that_they_wrote_to(house: Services, desk: Desk, me: Me) -> None:
    for ours in (SECOND, SHOWN):
        await desk.comes("Bonjour ?", HIS, ours)
    found = await talks(house)
    await me.unlocks()
    for ours in (SECOND, SHOWN):
        await me.answers(found[ours, HIS], f"Oui, {ours}")
    await until(lambda: len(desk.carrier.given) == 2)
    left = {
        part.text: (addresses.as_text(part.sender), addresses.as_text(part.recipient)) for part in desk.carrier.given
    }
    assert left == {f"Oui, {ours}": (ours, HIS) for ours in (SECOND, SHOWN)}
    assert await talks(house) == found, "each stands in the conversation that it answers"
    assert [one.ours for one in (await me.looks(found[SECOND, HIS])).texts] == [False, True]


async def test_an_answer_opens_nothing(house: Services, desk: Desk, me: Me) -> None:
    await desk.comes("Bonjour ?", HIS, SHOWN)
    found = await talks(house)
    with refused("conflict"):
        await me.answers(found[SHOWN, HIS])  # nobody answers what they have not unlocked
    await me.unlocks()
    await me.answers(found[SHOWN, HIS])
    assert await looked_at(house) == []
    assert set((await states(house)).values()) == {"new"}


async def test_from_an_address_that_sends_no_more_nothing_is_answered(house: Services, desk: Desk, me: Me) -> None:
    """Not from another one either: they would not know whose it is."""
    await desk.comes("Bonjour ?", HIS, SECOND)
    talk = (await talks(house))[SECOND, HIS]
    await me.unlocks()
    seen = await me.looks(talk)
    assert seen.sends and seen.can_answer
    await inboxes.remove_sender(house, ME, address=SECOND)
    seen = await me.looks(talk)
    assert seen.sends and not seen.can_answer
    with pytest.raises(Failure, match="nothing may be sent any more"):
        await me.answers(talk)
    assert desk.carrier.given == []


async def test_a_closed_conversation_is_not_answered(house: Services, desk: Desk, me: Me) -> None:
    await desk.comes("Bonjour ?", HIS, SHOWN)
    talk = (await talks(house))[SHOWN, HIS]
    await me.unlocks()
    await inboxes.hand_over(house, ME, login="reader", conversation=talk, close=True)
    with pytest.raises(Failure, match="the conversation is closed"):
        await me.answers(talk)
    assert await talks(house) == {} and desk.carrier.given == []


# --- why --------------------------------------------------------------------------------------------------------------


async def test_a_reason_is_written_down_whole_or_refused(house: Services, desk: Desk, me: Me) -> None:
    await desk.comes("Bonjour ?", HIS, SHOWN)
    talk = (await talks(house))[SHOWN, HIS]
    for wrong in ("", " x ", "x" * (MAX_REASON_CHARS + 1), "why\0not"):
        with refused("invalid"):
            await me.unlocks(wrong)
        assert house.reader_rooms.of(me.identity.session_id, house.clock()) is None
    why = "y" * MAX_REASON_CHARS
    await me.unlocks(f"  {why} ")
    await me.looks(talk)
    [entry] = [one for one in await entries(house) if (one["action"], one["object"]) == ("show", "text")]
    async with house.db.read() as tx:
        assert await access.reason(tx, entry["reason_id"]) == why


# --- what is written down as looked at --------------------------------------------------------------------------------


async def test_only_what_is_shown_is_written_down_and_marked_as_read(house: Services, desk: Desk, me: Me) -> None:
    for number in range(MOST + 5):
        await desk.comes(f"Bonjour, voici le message {number}", HIS, SHOWN)
    talk = (await talks(house))[SHOWN, HIS]
    await texts.send(house, ME, login="reader", inbox="support", to=HIS, words="Merci", sender=SHOWN)
    await me.unlocks()
    seen = await me.looks(talk)
    shown = [one.id for one in seen.texts]
    assert [one.words for one in seen.texts] == [f"Bonjour, voici le message {n}" for n in range(6, MOST + 5)] + [
        "Merci"
    ]
    assert sorted(await looked_at(house)) == sorted(shown)
    became = await states(house)
    assert {one for one, state in became.items() if state == "read"} == set(shown[:-1])
    assert sorted(became.values()) == ["new"] * 6 + ["read"] * (MOST - 1)
    await me.looks(talk)
    assert len(await looked_at(house)) == MOST, "once for each text, however often it is looked at"


async def test_what_a_reader_has_no_key_for_is_not_written_down_as_shown(house: Services, desk: Desk) -> None:
    """Somebody who reads the inbox from today on does not make what came before look as if it had been read."""
    await desk.comes("Avant", HIS, SHOWN)
    await inboxes.member(house, ME, inbox="support", login="cora", reading=True)
    await desk.comes("Après", HIS, SHOWN)
    secrets = {"passphrase": "a long passphrase", "totp_secret": "A" * 32}
    cora = Me(house, await signed_in(house, "cora", "c" * 32), secrets)
    await cora.unlocks()
    seen = await cora.looks((await talks(house))[SHOWN, HIS])
    assert [one.words for one in seen.texts] == [None, "Après"]
    assert await looked_at(house) == [seen.texts[1].id]
    assert await states(house) == {seen.texts[0].id: "new", seen.texts[1].id: "read"}


async def test_what_is_set_aside_crowds_out_nothing(house: Services, desk: Desk, me: Me) -> None:
    await desk.comes("Bonjour, je voudrais un rendez-vous", HIS, SHOWN)
    for number in range(MOST):
        await desk.comes(f"Votre colis est bloque, payez 1,99 : https://bit.ly/2abcde{number}", HIS, SHOWN)
    talk = (await talks(house))[SHOWN, HIS]
    await me.unlocks()
    seen = await me.looks(talk)
    assert [one.words for one in seen.texts] == ["Bonjour, je voudrais un rendez-vous"] and seen.apart == MOST
    assert await looked_at(house) == [seen.texts[0].id]
    assert len((await me.looks(talk, apart=True)).texts) == MOST


async def test_the_longest_texts_are_shown(house: Services, desk: Desk, me: Me) -> None:
    for number in range(6):
        await desk.comes(longest(number), HIS, SHOWN)
    await me.unlocks()
    seen = await me.looks((await talks(house))[SHOWN, HIS])
    assert [one.words for one in seen.texts] == [longest(number) for number in range(6)]
