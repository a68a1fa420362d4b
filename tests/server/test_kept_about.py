"""What is kept about a person: all of theirs and nothing of anybody else's, with basis, end, and who listened and why.

On both databases.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from server.failure import Failure
from server.rights import Reach
from server.services import kept_about, permitted
from server.services.actor import Actor
from server.services.audit import note
from server.services.context import ServerKeys, Services
from storage import accounts, alerts, evidence, inboxes, ledger, readers, recordings, sms_received, sms_sent
from storage.database import Database
from storage.evidence import ConsentEvidence
from storage.recordings import Party
from storage.sms_received import NewReceived
from tests.server.two_teams import NOW, TwoTeams
from tests.storage.conftest import db, field_keys, fresh_url, ledger_key, made_once, postgres_dir
from tests.storage.test_text_expiry import HIS, house, sent

__all__ = ["db", "field_keys", "fresh_url", "ledger_key", "made_once", "postgres_dir"]
WHERE = "192.0.2.1"


@pytest.fixture
async def teams(db: Database, field_keys: Any, ledger_key: Any, tmp_path: Any) -> AsyncIterator[TwoTeams]:  # noqa: F811
    keys = ServerKeys(field_keys, ledger_key, ledger_key)
    services = Services(db, Paths(tmp_path / "data"), configuration.parse(""), keys, clock=lambda: NOW)
    made = TwoTeams(services)
    await made.make()
    yield made


async def kept(teams: TwoTeams, who: str, **arguments: object) -> Any:
    identity = teams.identity(who, Reach.OWN, ("kept.read",))
    return await permitted.call(teams.services, identity, "person.kept", arguments, workstation=WHERE)


async def listen(teams: TwoTeams, what: str, who: str, reason: str, action: str = "open") -> None:
    services, person = teams.services, teams.people[who]
    async with services.db.transaction() as tx:
        actor = Actor(person, WHERE, reason)
        await note(services, tx, actor, action, "recording", rec_id=teams.recordings[what], person_id=person)


@pytest.mark.promise("L5", "2.14", "2.19")
async def test_it_is_all_theirs_and_nothing_of_anybody_else(teams: TwoTeams) -> None:
    said = await kept(teams, "alice")
    assert said["login"] == "alice" and said["name"] == "Alice"
    ((calls),) = said["calls"]
    assert (calls["kind"], calls["purpose"], calls["count"]) == ("standard", "CDR_STANDARD", 3), "no predecessor's"
    assert calls["legal_basis"] and calls["last_expiry"] == (NOW + timedelta(days=400)).isoformat()[:19] + "Z"
    assert [one["id"] for one in said["recordings"]] == [teams.recordings["alice"]]
    (recording,) = said["recordings"]
    assert recording["purpose"] and recording["legal_basis"] and recording["expires_at"]
    assert {one["kind"]: one["count"] for one in said["things"]} == {
        "people": 1, "accounts": 1, "devices": 1, "mail_logins": 1, "mail_addresses": 1, "line_members": 1,
        "dialled": 2,
    }  # fmt: skip
    assert all(one["expiry"] and one["legal_basis"] for one in said["things"])
    text = json.dumps(said)
    assert not any(teams.recordings[other] in text for other in ("bob", "carol", "dave", "passed on", "line support"))


@pytest.mark.promise("0.4", "1.9")
async def test_nobody_reads_anothers_whatever_they_send(teams: TwoTeams) -> None:
    said = await kept(teams, "alice", login="carol")
    assert said["login"] == "alice"
    nobody = teams.identity("alice", Reach.OWN, ())
    with pytest.raises(Failure) as refused:
        await permitted.call(teams.services, nobody, "person.kept", {}, workstation=WHERE)
    assert refused.value.code == "denied"


@pytest.mark.promise("L5", "2.9")
async def test_who_listened_when_and_why_newest_first(teams: TwoTeams) -> None:
    await listen(teams, "alice", "carol", "complaint of Mr. B.")
    await listen(teams, "alice", "dave", "training", "export")
    await listen(teams, "carol", "dave", "not of alice")
    (recording,) = (await kept(teams, "alice"))["recordings"]
    assert [(one["who"], one["action"], one["reason"]) for one in recording["openings"]] == [
        ("dave", "export", "training"),
        ("carol", "open", "complaint of Mr. B."),
    ]
    assert all(one["at"].startswith("2026-11-28T12:00:00") for one in recording["openings"])


async def test_of_somebody_else_names_and_reasons_are_shown_with_a_reason_only(teams: TwoTeams) -> None:
    await listen(teams, "alice", "carol", "complaint of Mr. B.")
    operator = Actor("os:1000", WHERE)
    masked = await kept_about.kept(teams.services, operator, login="alice")
    assert masked.name == "A••••" and masked.recordings[0].openings[0].reason is None
    clear = await kept_about.kept(teams.services, Actor("os:1000", WHERE, "asked by alice"), login="alice")
    assert clear.name == "Alice" and clear.recordings[0].openings[0].reason == "complaint of Mr. B."
    with pytest.raises(Failure) as absent:
        await kept_about.kept(teams.services, operator, login="nobody")
    assert absent.value.code == "not_found"


@pytest.mark.promise("L5")
async def test_what_they_did_when_they_were_asked_and_not_what_the_other_side_did(teams: TwoTeams) -> None:
    rec_id, call_id = "e" * 32, teams.calls["outside alice"]
    async with teams.services.db.transaction() as tx:
        seqs = []
        for leg, act in (("1" * 32, "statute"), ("2" * 32, "objection")):
            one = ConsentEvidence(call_id=call_id, leg_id=leg, purpose="REC_QUALITY", act=act, rule="FR", media_ms=1)
            seqs.append((await evidence.record(tx, one, NOW)).seq)
        await recordings.start(
            tx, rec_id, call_id=call_id, purpose="REC_QUALITY", pack_version="1", legal_basis="6(1)(f)",
            expires_at=NOW + timedelta(days=90), codec="opus", rate_hz=8000, channels=2,
            started_at=NOW + timedelta(minutes=1), kek_id="k" * 32, consent_refs=seqs,
            parties=[Party(0, "1" * 32, teams.accounts["alice"], "101"), Party(1, "2" * 32, None, "+33612345678")],
        )  # fmt: skip
    newest = (await kept(teams, "alice"))["recordings"][0]
    assert newest["id"] == rec_id
    assert [one["act"] for one in newest["acts"]] == ["statute"]


@pytest.mark.promise("2.9")
async def test_one_look_is_one_entry(teams: TwoTeams) -> None:
    async with teams.services.db.read() as tx:
        before = len(await ledger.entries(tx, "access"))
    await kept(teams, "alice")
    async with teams.services.db.read() as tx:
        (entry,) = (await ledger.entries(tx, "access"))[before:]
    said = json.loads(entry.body)
    assert (said["action"], said["object"], said["person_id"]) == ("show", "person", teams.people["alice"])
    assert said["actor_id"] == teams.people["alice"]


async def test_many_recordings_are_cut_and_it_is_said(teams: TwoTeams, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_about, "MOST", 0)
    said = await kept(teams, "alice")
    assert said["recordings"] == [] and said["more"]


@pytest.mark.promise("L5", "2.14")
async def test_how_often_somebody_listened_counts_the_older_ones_and_no_closing(
    teams: TwoTeams, monkeypatch: pytest.MonkeyPatch
) -> None:
    for action in ("open", "listen", "export", "open", "listen"):
        await listen(teams, "alice", "carol", "a complaint", action)
    await listen(teams, "carol", "dave", "not of alice")
    assert (await kept(teams, "alice"))["opened"] == 3
    monkeypatch.setattr(kept_about, "MOST", 0)
    said = await kept(teams, "alice")
    assert (said["recordings"], said["opened"]) == ([], 3)


@pytest.mark.promise("L5", "2.14")
async def test_texts_count_that_were_written_where_one_writes_no_more_and_that_one_handled(teams: TwoTeams) -> None:
    alice, bob = teams.people["alice"], teams.people["bob"]
    async with teams.services.db.transaction() as tx:
        box, sender, kek = await house(tx, NOW)  # of nobody of the teams: no membership is left
        of_account = {"author_id": teams.accounts["alice"]}
        some = [sent(box, sender, NOW, **more) for more in ({"author_id": alice}, of_account, {"author_id": bob})]
        await sms_sent.add_all(tx, some, NOW)
        await sms_received.add_all(tx, [came(number, box, sender, kek, NOW) for number in range(3)])
        await sms_received.set_state(tx, f"{0:032x}", "handled", alice, NOW)
        await sms_received.set_state(tx, f"{1:032x}", "handled", bob, NOW)
    said = {one["kind"]: one["count"] for one in (await kept(teams, "alice"))["texts"]}
    assert said == {"handled": 1, "sent": 2}


@pytest.mark.promise("L5", "2.14")
async def test_texts_of_a_predecessor_on_the_account_are_not_theirs(teams: TwoTeams) -> None:
    """Alice's account is Bob's since an hour."""
    alice, account = teams.people["alice"], teams.accounts["alice"]
    before, after = NOW - timedelta(hours=2), NOW
    async with teams.services.db.transaction() as tx:
        _, sender, kek = await house(tx, NOW)
        own = await inboxes.add(tx, "alice", "person", before, account_id=account)
        some = [came(n, own.id, sender, kek, at) for n, at in enumerate((before, before, after))]
        await sms_received.add_all(tx, some)
        await sms_received.set_state(tx, f"{1:032x}", "handled", alice, NOW)
        for at in (before, after):
            await sms_sent.add_all(tx, [sent(own.id, sender, at, author_id=account)], at)
        await accounts.give(tx, account, teams.people["bob"], "Bob", NOW - timedelta(hours=1))
    said = {one["kind"]: one["count"] for one in (await kept(teams, "bob"))["texts"]}
    assert said == {"received": 1, "sent": 1}
    assert {one["kind"]: one["count"] for one in (await kept(teams, "alice"))["texts"]} == {"handled": 1}


def came(number: int, box: str, sender: str, kek: str, at: datetime) -> NewReceived:
    return NewReceived(
        id=f"{number:032x}", inbox_id=box, carrier="one", sender=HIS, recipient="+33162000001",
        body_sealed=b"x", kek_id=kek, purpose="SMS_REPLIES", legal_basis="x", stop="none", sorting="",
        rule="", state="new", parts=1, missing=0, received_at=at, expires_at=at + timedelta(days=90), sender_id=sender,
    )  # fmt: skip


@pytest.mark.promise("L5", "2.14")
async def test_what_is_found_is_theirs_and_an_alert_about_them_is_told_once_it_is_judged(teams: TwoTeams) -> None:
    alice, bob = teams.people["alice"], teams.people["bob"]
    async with teams.services.db.transaction() as tx:
        for owner in (alice, bob):
            await readers.grant(tx, owner, "REC_QUALITY", "system", NOW)
        about = [
            await alerts.happened(tx, "bulk-listening", owner, "urgent", NOW, kept_until=NOW, channels=[])
            for owner in (alice, bob)
        ]

    async def things() -> dict[str, int]:
        return {one["kind"]: one["count"] for one in (await kept(teams, "alice"))["things"]}

    said = await things()
    assert said["reader_rights"] == 1 and "alerts" not in said
    async with teams.services.db.transaction() as tx:
        for one in about:
            await alerts.judge(tx, one.id, "false_alarm", bob, None, NOW)
    assert (await things())["alerts"] == 1
