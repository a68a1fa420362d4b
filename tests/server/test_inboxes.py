"""Inboxes as services and from the command line: two rights, everyone their own, and reading that is written down."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pyotp
import pytest

from server import control_socket
from server.commands import inboxes as shown_as
from server.failure import Failure
from server.services import inboxes, operations, optouts, people, texts
from server.services.actor import Actor
from server.services.context import Services, open_services
from server.services.inboxes import ConversationView, InboxView, ReceivedView, RequestView, SenderView
from server.week_keys import WeekKeys
from sms import sealing
from storage import conversations, ledger, sms_received
from storage import inboxes as stored
from storage.sms_received import NewReceived
from tests.peers.product import run_cli
from tests.server.text_house import (
    BECAUSE,
    HERS,
    HIS,
    ME,
    OTHER,
    SHOWN,
    Desk,
    conversation,
    furnish,
    ids,
    in_doubt,
    longest,
    request,
    running,
)
from tests.sms.conftest import until

CODE_S = 30


@pytest.mark.parametrize(
    ("documented", "record"),
    [
        (shown_as.FIELDS, InboxView),
        (shown_as.SENDER_FIELDS, SenderView),
        (shown_as.RECEIVED_FIELDS, ReceivedView),
        (shown_as.REQUEST_FIELDS, RequestView),
        (shown_as.CONVERSATION_FIELDS, ConversationView),
    ],
)
def test_records_hold_just_the_documented_fields(documented: Any, record: Any) -> None:
    assert {field.name for field in documented} == {field.name for field in fields(record)}


@pytest.fixture
async def desk(services: Services) -> AsyncIterator[Desk]:
    await furnish(services)
    async with running(services) as opened:
        yield opened


async def entries(services: Services) -> list[dict[str, Any]]:
    async with services.db.read() as tx:
        return [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]


# --- everyone their own -------------------------------------------------------------------------------------------

# What each operation says to somebody who may do nothing with an inbox: as if it were not there.
NOTHING = {
    "inbox.show": "no inbox support",
    "inbox.handled": "no such text",
    "inbox.decide": "no such text",
    "inbox.away": "no inbox support",
    "inbox.request.close": "no such request",
    "inbox.conversations": "no inbox support",
    "inbox.hand-over": "no such conversation",
    "sms.send": "no inbox support",
    "sms.show": "no such text",
    "sms.cancel": "no such text",
    "sms.settle": "no such text",
    "carrier.test": "no inbox support",
}
ADMINISTRATION = {"inbox.add", "inbox.every", "inbox.member", "inbox.close", "inbox.sender.add", "inbox.sender.list",
                  "inbox.sender.remove", "carrier.list"}  # fmt: skip
LISTS = {"inbox.list", "inbox.requests", "sms.list"}


def test_each_operation_is_thought_of() -> None:
    there = {name for name in operations.OPERATIONS if name.startswith(("inbox.", "sms.", "carrier."))}
    assert there == NOTHING.keys() | ADMINISTRATION | LISTS


@pytest.mark.promise("1.9")
async def test_somebody_elses_inbox_is_not_there_in_any_operation(services: Services, desk: Desk) -> None:
    await desk.comes("Pas intéressé", HERS)
    await desk.comes("Mon nom est mal écrit, merci de corriger")
    _, doubtful = await ids(services)
    sent = await in_doubt(services)
    given: dict[str, dict[str, object]] = {
        "inbox.show": {"inbox": "support"},
        "inbox.handled": {"text": doubtful},
        "inbox.decide": {"text": doubtful, "is_": "stop"},
        "inbox.away": {"inbox": "support", "words": "x"},
        "inbox.request.close": {"request": await request(services)},
        "inbox.conversations": {"inbox": "support"},
        "inbox.hand-over": {"conversation": await conversation(services)},
        "sms.send": {"inbox": "support", "to": HIS, "words": "x"},
        "sms.show": {"text": sent},
        "sms.cancel": {"text": sent},
        "sms.settle": {"text": sent, "became": "lost"},
        "carrier.test": {"inbox": "support", "carrier": "one", "to": HIS},
    }
    assert given.keys() == NOTHING.keys()
    for op, words in given.items():
        with pytest.raises(Failure, match=NOTHING[op]):
            await operations.call(op, services, BECAUSE, words | {"login": "cora"})
    assert {one.name for one in await inboxes.list_(services, ME, login="cora")} == {"care"}
    assert await inboxes.requests(services, ME, login="cora") == []
    assert await texts.list_(services, ME, login="cora") == []
    with pytest.raises(Failure, match="no inbox support"):
        await texts.list_(services, ME, login="cora", inbox="support")
    # The same words as for one that never was.
    with pytest.raises(Failure, match="no inbox nowhere"):
        await inboxes.received(services, ME, login="cora", inbox="nowhere")
    async with services.db.read() as tx:
        assert (await sms_received.get(tx, doubtful)).state == "held"


@pytest.mark.promise("1.10")
async def test_writing_reading_and_seeing_what_was_sent_are_three_rights(services: Services, desk: Desk) -> None:
    await desk.comes("Bonjour")
    sent = await texts.send(services, ME, login="anna", inbox="support", to=HIS, words="Bonsoir")
    assert sent.id is not None
    with pytest.raises(Failure, match="anna may not read support"):
        await inboxes.received(services, ME, login="anna", inbox="support")
    with pytest.raises(Failure, match="no such text"):  # not even what she wrote herself
        await texts.show(services, ME, login="anna", text=sent.id)
    await inboxes.member(services, ME, inbox="support", login="cora", reading=True)
    assert len(await inboxes.received(services, ME, login="cora", inbox="support")) == 1
    assert await texts.list_(services, ME, login="cora") == []
    with pytest.raises(Failure, match="cora may not write from support"):
        await texts.send(services, ME, login="cora", inbox="support", to=HIS, words="x")
    await inboxes.member(services, ME, inbox="support", login="cora", sent=True)
    assert [one.id for one in await texts.list_(services, ME, login="cora")] == [sent.id]
    await inboxes.member(services, ME, inbox="support", login="cora", reading=False, sent=False)
    with pytest.raises(Failure, match="no inbox support"):
        await inboxes.received(services, ME, login="cora", inbox="support")
    with pytest.raises(Failure, match="anna is no reader"):
        await inboxes.member(services, ME, inbox="support", login="anna", reading=True)


async def test_whoever_has_left_does_nothing(services: Services, desk: Desk) -> None:
    await people.disable(services, ME, login="anna")
    with pytest.raises(Failure, match="anna is disabled"):
        await texts.send(services, ME, login="anna", inbox="support", to=HIS, words="x")


# --- what becomes of what came in -------------------------------------------------------------------------------


@pytest.mark.promise("1.11")
async def test_a_closed_inbox_sends_nothing_and_what_comes_for_it_is_sealed(services: Services, desk: Desk) -> None:
    await inboxes.close(services, ME, inbox="support")
    await desk.comes("Bonjour")
    await desk.comes("Qui est là ?", HIS, "+33162000009")  # no address of ours
    assert await ids(services) == [] and len(await ids(services, "sealed")) == 2
    with pytest.raises(Failure, match="inbox support is closed"):
        await texts.send(services, ME, login="reader", inbox="support", to=HIS, words="x")
    with pytest.raises(Failure, match="no inbox sealed"):
        await inboxes.received(services, ME, login="reader", inbox="sealed")
    await inboxes.close(services, ME, inbox="support", reopen=True)
    await desk.comes("Encore moi")
    assert len(await ids(services)) == 1
    with pytest.raises(Failure, match="stays open"):
        await inboxes.close(services, ME, inbox="sealed")


@pytest.mark.promise("L17", "1.3")
async def test_what_is_in_doubt_waits_for_a_person(services: Services, desk: Desk) -> None:
    await desk.comes("Pas intéressé", HERS)
    await desk.comes("Pas intéressé", HIS)
    his, hers = await ids(services)
    assert (await optouts.check(services, ME, number=HERS)).doubtful
    with pytest.raises(Failure, match="nothing is in doubt"):
        await desk.comes("Bonjour", "+33612345670")
        [new, *_] = await ids(services)
        await inboxes.decide(services, ME, login="reader", text=new, is_="stop")
    said = await inboxes.decide(services, ME, login="reader", text=hers, is_="stop")
    assert (said.state, said.stop) == ("handled", "stop")
    said = await inboxes.decide(services, ME, login="reader", text=his[:12], is_="no-stop")
    assert (said.state, said.stop) == ("handled", "none")
    hers_now = await optouts.check(services, ME, number=HERS)
    his_now = await optouts.check(services, ME, number=HIS)
    assert (hers_now.advertising, hers_now.doubtful, hers_now.source) == (False, False, "sms")
    assert (his_now.advertising, his_now.doubtful) == (True, False)


@pytest.mark.promise("1.13", "1.12")
async def test_a_correction_is_a_case_that_is_closed_with_a_word_on_how(services: Services, desk: Desk) -> None:
    await desk.comes("Mon nom est mal écrit, merci de corriger")
    [one] = await inboxes.requests(services, ME, login="reader")
    assert (one.kind, one.inbox) == ("rectification", "support")
    assert 28 <= (one.due_at - one.opened_at).days <= 31
    assert [each.id for each in await inboxes.requests(services, ME, login="nora")] == [one.id]  # of all inboxes
    with pytest.raises(Failure, match="what was done"):
        await inboxes.close_request(services, ME, login="reader", request=one.id)
    await inboxes.close_request(services, BECAUSE, login="reader", request=one.id)
    assert await inboxes.requests(services, ME, login="nora") == []
    with pytest.raises(Failure, match="no such request"):
        await inboxes.close_request(services, BECAUSE, login="reader", request=one.id)


async def test_a_conversation_is_handed_over_with_a_trace(services: Services, desk: Desk) -> None:
    await desk.comes("Bonjour")
    [talk] = await inboxes.list_conversations(services, ME, login="reader", inbox="support")
    assert talk.remote != HIS and talk.assigned_to is None
    with pytest.raises(Failure, match="cora does not read support"):
        await inboxes.hand_over(services, ME, login="reader", conversation=talk.id, to="cora")
    await inboxes.member(services, ME, inbox="support", login="cora", reading=True)
    said = await inboxes.hand_over(services, BECAUSE, login="reader", conversation=talk.id[:8], to="cora")
    assert (said.assigned_to, said.remote) == ("cora", HIS)
    said = await inboxes.hand_over(services, ME, login="cora", conversation=talk.id, close=True)
    assert said.closed_at is not None
    async with services.db.read() as tx:
        events = [(one.what, one.actor_id) for one in await conversations.events(tx, talk.id)]
    people_of = {one.login: one.id for one in await people.list_(services, ME)}
    assert events == [("handed over", people_of["reader"]), ("closed", people_of["cora"])]
    await desk.comes("Une autre chose")
    [new] = await inboxes.list_conversations(services, ME, login="reader", inbox="support")
    assert new.id != talk.id


async def test_the_answer_of_somebody_who_is_away(services: Services, desk: Desk) -> None:
    with pytest.raises(Failure, match="until when"):
        await inboxes.set_away(services, ME, login="anna", inbox="support", words="x", until="2020-01-01T00:00")
    said = await inboxes.set_away(services, ME, login="anna", inbox="support", words="Back on Monday")
    assert said.away_until is not None
    await desk.comes("Bonjour")
    await desk.comes("Allô ?")
    await until(lambda: bool(desk.carrier.given))
    assert [part.text for part in desk.carrier.given] == ["Back on Monday"]  # once a day
    said = await inboxes.set_away(services, ME, login="anna", inbox="support")
    assert said.away_until is None


# --- addresses ----------------------------------------------------------------------------------------------------


@pytest.mark.promise("1.5", "1.21")
async def test_an_address_is_approved_for_one_inbox_by_somebody_who_may(services: Services) -> None:
    await furnish(services)

    async def add(address: str, by: str = "nora", **more: Any) -> SenderView:
        return await inboxes.add_sender(services, ME, inbox="support", address=address, approved_by=by, **more)

    with pytest.raises(Failure, match="anna may approve no sender"):
        await add("+33162000003", "anna")
    with pytest.raises(Failure, match="already|taken|another|exists"):
        await operations.call("inbox.sender.add", services, ME,
                              {"inbox": "support", "address": OTHER, "approved_by": "nora"})  # fmt: skip
    with pytest.raises(Failure, match="nobody can answer STOP to a name"):
        await add("Beffroi", classes=["marketing"])
    with pytest.raises(Failure, match="no carrier nowhere"):
        await add("Beffroi", carriers=["nowhere"])
    for wrong in ("112", "a b", "Sms-Of-Somebody"):
        with pytest.raises(Failure, match="nothing can be sent from there"):
            await add(wrong)
    made = await add("Beffroi", classes=["marketing"], stop_code="36180")
    assert (made.address, made.kind, made.inbox, made.classes) == ("Beffroi", "name", "support", ("marketing",))
    gone = await inboxes.remove_sender(services, ME, address="Beffroi")
    assert gone.disabled_at is not None
    with pytest.raises(Failure, match="that is no address of this inbox"):
        await texts.send(services, ME, login="reader", inbox="support", to=HIS, words="x", sender="Beffroi")


# --- reading ------------------------------------------------------------------------------------------------------


class Reader:
    """The person with the key, at their terminal. Each code counts once, so a look may wait for the next one."""

    def __init__(self, data: Path, shown: dict[str, Any]) -> None:
        self._data = data
        self._secrets = shown["reader"]
        self._used = 0

    async def types(self, *words: str, reason: str = "the morning round", wrong: bool = False) -> CompletedProcess[str]:
        now_s = datetime.now(UTC).timestamp()
        fresh = max(int(now_s) // CODE_S, self._used + 1)
        await asyncio.sleep(max(0.0, (fresh - 1) * CODE_S + 1 - now_s))  # the next one is taken as well
        self._used = fresh
        code = pyotp.TOTP(self._secrets["totp_secret"]).at(fresh * CODE_S)
        passphrase = "not the passphrase" if wrong else self._secrets["passphrase"]
        return await asyncio.to_thread(
            run_cli, self._data, *words, "--as", "reader", "--reason", reason,
            secrets={"--secrets-fd": f"{passphrase}\n{code}"},
        )  # fmt: skip


@pytest.fixture
async def opened(data: Path) -> AsyncIterator[tuple[Services, Desk]]:
    """With the daemon's socket, so that commands find it."""
    async with open_services(data) as services:
        await furnish(services)
        async with control_socket.serve(services), running(services) as desk:
            yield services, desk


@pytest.fixture
def reader(data: Path, shown: dict[str, Any]) -> Reader:
    return Reader(data, shown)


async def closed(services: Services, *what: tuple[str, str]) -> list[tuple[str, str]]:
    """(action, object) of what has been written, once all of `what` is there."""
    async with asyncio.timeout(30):
        while True:
            done = [(one["action"], one["object"]) for one in await entries(services)]
            if all(done.count(one) >= what.count(one) for one in what):
                return done
            await asyncio.sleep(0.05)


@pytest.mark.promise("L16", "1.8", "1.19", "0.6")
async def test_each_text_that_is_shown_is_an_entry(opened: tuple[Services, Desk], reader: Reader) -> None:
    services, desk = opened
    await desk.comes("Où en est ma commande ?")
    await desk.comes("Réponse à côté", HERS)
    await desk.comes("Pour care", HERS, OTHER)
    before = len(await entries(services))
    done = await reader.types("inbox", "read", "support", "--search", "OU EN EST")
    assert done.returncode == 0, done.stderr
    assert "Où en est ma commande ?" in done.stdout and "côté" not in done.stdout and "care" not in done.stdout
    fresh = (await entries(services))[before:]
    assert [(one["action"], one["object"]) for one in fresh] == [
        ("unlock", "inbox"), ("open", "inbox"), ("show", "text")
    ]  # fmt: skip
    found = await ids(services)
    assert fresh[-1]["text_id"] == found[1]
    states = {one.id: one.state for one in await inboxes.received(services, ME, login="reader", inbox="support")}
    assert (states[found[1]], states[found[0]]) == ("read", "new")


@pytest.mark.promise("L16", "1.17")
async def test_a_wrong_passphrase_opens_nothing(opened: tuple[Services, Desk], reader: Reader) -> None:
    services, desk = opened
    await desk.comes("Où en est ma commande ?")
    done = await reader.types("inbox", "read", "support", wrong=True)
    assert done.returncode != 0 and "commande" not in done.stdout + done.stderr
    said = await closed(services, ("unlock", "inbox"), ("open", "inbox"))
    assert ("show", "text") not in said
    [*_, last] = await entries(services)
    assert last["outcome"] == "wrong"
    # The database holds no word of it either.
    for file in services.paths.database.parent.glob("*.sqlite3*"):
        assert b"commande" not in file.read_bytes()


@pytest.mark.promise("1.9")
async def test_nobody_reads_what_is_not_theirs(opened: tuple[Services, Desk], reader: Reader) -> None:
    services, desk = opened
    await desk.comes("Pour care", HERS, OTHER)
    [other] = await ids(services, "care")
    done = await reader.types("inbox", "read", "care")
    assert done.returncode != 0 and "no inbox care" in done.stderr
    done = await reader.types("inbox", "read", "care", "--sent")
    assert done.returncode != 0 and "no inbox care" in done.stderr
    done = await reader.types("inbox", "read", "support", "--text", other)
    assert done.returncode != 0 and "no such text" in done.stderr
    assert "Pour care" not in done.stdout


async def test_what_was_sent_is_read_by_who_may_see_it(opened: tuple[Services, Desk], reader: Reader) -> None:
    services, desk = opened
    await texts.send(services, ME, login="anna", inbox="support", to=HIS, words="Votre colis est là")
    done = await reader.types("inbox", "read", "support", "--sent")
    assert done.returncode == 0 and "Votre colis est là" in done.stdout and HIS in done.stdout


async def test_a_text_is_moved_to_the_readers_of_another_inbox(opened: tuple[Services, Desk], reader: Reader) -> None:
    services, desk = opened
    await inboxes.add(services, ME, name="billing")
    await inboxes.member(services, ME, inbox="billing", login="reader", reading=True)
    await desk.comes("Ma facture est fausse")
    [text] = await ids(services)
    done = await reader.types("inbox", "move", "support", text, "--to", "billing")
    assert done.returncode == 0, done.stderr
    assert "facture" not in done.stdout
    await closed(services, ("move", "text"))
    assert await ids(services) == [] and await ids(services, "billing") == [text]
    async with services.db.read() as tx:
        box = await stored.by_name(tx, "billing")
        [body] = await sms_received.bodies(tx, [text])
        assert [one.what for one in await conversations.events(tx, text)] == ["moved"]
    assert box.purpose and body.kek_id
    done = await reader.types("inbox", "read", "billing")
    assert done.returncode == 0 and "Ma facture est fausse" in done.stdout


def words_of(stdout: str) -> list[str]:
    """Of what `inbox read --json` says: one object after the other."""
    found, at = list[str](), 0
    while at < len(stdout):
        one, at = json.JSONDecoder().raw_decode(stdout, at)
        found.append(one["words"])
        at += len(stdout[at:]) - len(stdout[at:].lstrip())
    return found


async def test_the_longest_texts_are_read_and_moved(opened: tuple[Services, Desk], reader: Reader) -> None:
    services, desk = opened
    await inboxes.add(services, ME, name="billing")
    await inboxes.member(services, ME, inbox="billing", login="reader", reading=True)
    for number in range(12):
        await desk.comes(longest(number))
    found = await ids(services)
    done = await reader.types("inbox", "read", "support", "--json")
    assert done.returncode == 0, done.stderr
    assert words_of(done.stdout) == [longest(number) for number in range(12)]
    done = await reader.types("inbox", "move", "support", found[0], "--to", "billing")
    assert done.returncode == 0, done.stderr
    await closed(services, ("move", "text"))
    done = await reader.types("inbox", "read", "billing", "--json")
    assert words_of(done.stdout) == [longest(11)]


async def sealed_in(services: Services) -> Sequence[sms_received.Sealed]:
    """What support has, as it is kept."""
    async with services.db.read() as tx:
        box = await stored.by_name(tx, "support")
        found = await sms_received.list_all(tx, inbox_ids=[box.id], limit=999)
        return await sms_received.bodies(tx, [one.id for one in found])


async def test_texts_of_two_years_are_read_each_with_the_key_of_its_week(
    opened: tuple[Services, Desk], reader: Reader
) -> None:
    services, _ = opened
    keys, now, weeks = WeekKeys(services.db, services.keys.ledger), services.clock(), 104
    async with services.db.read() as tx:
        box = await stored.by_name(tx, "support")
    for week in reversed(range(weeks)):
        kek, text_id = await keys.current(box.purpose, now - timedelta(weeks=week)), secrets.token_hex(16)
        words = sealing.received(kek, text_id, sealing.words(f"il y a {week} semaines"))
        came = NewReceived(
            id=text_id, inbox_id=box.id, carrier="one", sender=HIS, recipient=SHOWN, body_sealed=words, kek_id=kek.id,
            purpose="SMS_CONVERSATION", legal_basis="GDPR 6(1)(b)", stop="none", sorting="", rule="", state="new",
            parts=1, missing=0, received_at=now - timedelta(weeks=week), expires_at=now + timedelta(days=90),
        )  # fmt: skip
        async with services.db.transaction() as tx:
            await sms_received.add_all(tx, [came])
    assert len({one.kek_id for one in await sealed_in(services)}) == weeks
    done = await reader.types("inbox", "read", "support", "--limit", "500", "--json")
    assert done.returncode == 0, done.stderr
    assert words_of(done.stdout) == [f"il y a {week} semaines" for week in reversed(range(weeks))]


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_strangers_words_and_name_steer_no_terminal(
    opened: tuple[Services, Desk], reader: Reader, form: str
) -> None:
    services, desk = opened
    await desk.comes("\x1b]0;owned\x07a\x9b31mb\u202ec\r\n  d\u00a0e \U0001f468\u200d\U0001f469")
    done = await reader.types("inbox", "read", "support", *(["--json"] if form == "json" else []))
    assert done.returncode == 0, done.stderr
    assert not {"\x1b", "\x07", "\x9b", "\u202e", "\r"} & set(done.stdout)
    assert "owned" in done.stdout
    if form == "text":
        assert "d e \U0001f468\u200d\U0001f469" in done.stdout


def test_a_name_in_a_table_steers_no_terminal() -> None:
    from server.commands.base import record, table

    row = {"id": secrets.token_hex(16), "sender": "\x1b[31mBank\x9b", "received_at": "2026-11-24T10:00:00"}
    for said in (table(shown_as.RECEIVED_FIELDS, [row]), record(shown_as.RECEIVED_FIELDS, row)):
        assert "\x1b" not in said and "\x9b" not in said and "Bank" in said


async def test_reading_needs_a_reason_of_some_words(services: Services, desk: Desk) -> None:
    from server.services import text_rooms

    for reason in (None, "x"):
        with pytest.raises(Failure, match="reading needs a reason"):
            await text_rooms.permit(services, Actor("os:0", "here", reason=reason), login="reader", inbox="support")
