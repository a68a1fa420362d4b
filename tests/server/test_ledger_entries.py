"""Every operation on personal data writes exactly one entry into the access log; the few that do not are named."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from recording import prompt_audio
from recording.keys import generate_reader
from recording.reader_bundle import ReaderSecret, seal_reader
from retention.receipt import Receipt, sign
from server.duty_desk import DutyDesk
from server.failure import Failure
from server.going_out import GoingOut
from server.services import operations
from server.services.actor import Actor, os_actor_id, workstation_id
from server.services.context import Services, utc_now
from server.services.texts import writer_of
from sip.calls.control import LiveCall
from sip.edge.state import Ban, Contact
from storage import (
    accounts,
    alerts,
    api_tokens,
    call_records,
    consents,
    contact_references,
    holds,
    inboxes,
    ledger,
    lines,
    mail_logins,
    people,
    receipts,
    sessions,
)
from storage.call_records import CallRecord
from storage.holds import About
from tests.peers import tones
from tests.server import text_house
from tests.server.duty_house import Edge

ME = Actor("os:1000", "desk-7")
NEED_A_REASON = (
    *("hold.", "retention.erase", "calls.circle", "person.lock", "person.unlock"),
    *("sms.settle", "inbox.request.close"),
)
IN_A_CASE = replace(ME, reason="claim", case="A-1")
EXPORTED = json.dumps(
    {"format": "beffroi-policy/1", "number": 9, "author": "x", "created_at": "2026-01-01T00:00:00+00:00", "rules": []}
)
A_RECORDING = base64.b64encode(prompt_audio.to_wav(tones.tone(400, 1.0) / 32768)).decode()
GOING = "f" * 32  # a call that goes on

# Counts and opaque ids only: nobody is looked at.
SILENT = {
    "status", "reader.prepare", "retention.forecast", "retention.status", "retention.map", "alert.list", "alert.rules",
    "alert.runbook", "keys.list", "system.overview", "prompt.list", "prompt.show", "prompt.hear",
    "campaign.measure",
}  # fmt: skip


class FakeEdge:
    """An edge that holds one ban, for operations that need one."""

    async def bans(self) -> list[Ban]:
        from datetime import UTC, datetime

        return [Ban("192.0.2.1", "auth", datetime.now(UTC) + timedelta(minutes=5))]

    async def registrations(self) -> dict[str, list[Contact]]:
        return {"nobody": []}

    async def lift_ban(self, source: str) -> bool:
        return source == "192.0.2.1"

    async def push_device(self, auth_user: str, account: str, ha1: str, account_id: str = "") -> None: ...

    async def drop_device(self, auth_user: str) -> None: ...

    async def refuse_device(self, auth_user: str) -> None: ...

    async def contacts(self, auth_user: str) -> list[Any]:
        return []

    async def trunk_states(self) -> dict[str, Any]:
        return {}


class FakeLive:
    """A daemon that has nothing to say."""

    async def status(self) -> Mapping[str, object]:
        return {}

    async def apply(self, settings: object, changes: object) -> None: ...

    async def prompts_changed(self) -> None: ...

    async def readers_changed(self) -> None: ...

    async def lines_changed(self) -> None: ...

    async def trunks_changed(self) -> None: ...

    async def settings_changed(self) -> None: ...

    async def end_device(self, auth_user: str) -> None: ...


class FakeCalls:
    """Call control with one call that goes on."""

    def live(self) -> list[LiveCall]:
        return [LiveCall(GOING, None, utc_now(), True, 1)]

    def hang_up(self, call_id: str) -> bool:
        return call_id == GOING

    async def transfer(self, call_id: str, side: str, number: str) -> None:
        assert (call_id, side, number) == (GOING, "a", "102")

    def pause(self, call_id: str, on: bool) -> bool:
        return call_id == GOING

    async def originate(self, account_name: str, number: str) -> str:
        return GOING


def a_receipt(services: Services) -> Receipt:
    facts = {"trigger": "objection", "request_ref": "", "pack": "REC_QUALITY@1", "objects": {"recording": 1}}
    times = dict.fromkeys(("checked_at", "live_erased_at", "backup_effective_at"), "2026-11-22T00:00:00Z")
    return sign(
        Receipt(receipt_id="d" * 32, object_ids_commitment="0" * 64, method=("dek_destroyed",),
                verification={"wraps_gone": True}, **facts, **times),
        services.keys.ledger,
    )  # fmt: skip


@pytest.mark.promise("2.12")
async def test_a_receipt_is_shown_with_what_can_be_said_for_it(services: Services):
    body, now = a_receipt(services).to_json(), services.clock()
    async with services.db.transaction() as tx:
        await receipts.add(tx, "d" * 32, body, now)
    shown = await operations.call("ledger.receipt", services, ME, {"receipt": "d" * 32})
    assert (shown["genuine"], shown["in_log"]) == (True, False)  # type: ignore[index,call-overload]
    async with services.db.transaction() as tx:
        entry = {"actor_id": "system", "action": "destroy", "object": "recording", "cause": "objection",
                 "receipt_id": "d" * 32, "receipt_sha256": hashlib.sha256(body.encode()).hexdigest()}  # fmt: skip
        await ledger.append(tx, "erasure", entry, now)
        await receipts.add(tx, "e" * 32, body.replace("objection", "expiry"), now)
    assert (await operations.call("ledger.receipt", services, ME, {"receipt": "d" * 32}))["in_log"]  # type: ignore[index,call-overload]
    forged = await operations.call("ledger.receipt", services, ME, {"receipt": "e" * 32})
    assert (forged["genuine"], forged["in_log"]) == (False, False)  # type: ignore[index,call-overload]


async def arguments(services: Services, shown: dict[str, Any]) -> dict[str, dict[str, object]]:
    """For every operation, what makes it succeed once."""
    now, call_id = services.clock(), secrets.token_hex(16)
    record = CallRecord(call_id, None, "minimal", "service", "GDPR-6-1-f", now, now + timedelta(days=1), {}, None)
    async with services.db.transaction() as tx:
        await call_records.add(tx, record, {"caller": "+33612345678"})
        person = await people.add(tx, "rita", "Rita", now, roles=("reader",))
        await people.add(tx, "dora", "Dora", now, roles=("dpo",))
        await people.add(tx, "clara", "Clara", now, roles=("circle",))
        await receipts.add(tx, "d" * 32, a_receipt(services).to_json(), now)
        owner = await accounts.by_dialled(tx, "alice")
        assert owner is not None
        days = now + timedelta(days=9)
        token = (await api_tokens.add(tx, person.id, b"t", "CRM", {"calls.read": "own"}, now, days)).id
        where = {"source": "192.0.2.1", "browser": "", "expires_at": days, "fresh_until": None}
        session = (await sessions.add(tx, person.id, b"s", now, **where)).id
        mailing = (await mail_logins.add(tx, owner.id, "m", "alice-m", b"v", ["a.l@example.org"], now)).login
        about = About("A-1", "court", "DPO", "claim", "101")
        await holds.add(tx, "e" * 32, "number", about, numbers=["101"], now=now, review_at=now + timedelta(days=9))
    public, secret = generate_reader()
    bundle = seal_reader(ReaderSecret(person.id, secret, "A" * 32), "a long passphrase")
    consent = {"number": "+33142123456", "purpose": "telecom", "act": "checkbox", "collector": "us", "source": "form",
               "text_id": "offers", "text_version": "1", "text_sha256": "ab" * 32}  # fmt: skip
    async with services.db.transaction() as tx:
        made = await contact_references.add(
            tx, number="+33142123456", kind="contract", purpose="telecom", reference="C-1", since=now,
            until=now + timedelta(days=9), legal_basis="6(1)(b)", kept_until=now + timedelta(days=9),
        )  # fmt: skip
        canvassing = await lines.add(tx, "canvassing", "399", now)
        await lines.save(tx, replace(canvassing, canvassing="telecom"))
        agreed = await consents.add(
            tx, now, number="+33142123458", channel="voice", purpose="telecom", act="checkbox", given_at=now,
            expires_at=now + timedelta(days=9), legal_basis="6(1)(a)", kept_until=now + timedelta(days=9),
            collector="us", source="form",
        )  # fmt: skip
        raised = await alerts.happened(
            tx, "ban-wave", "", "warning", now, kept_until=now + timedelta(days=9), channels=["log"]
        )
    contacts: dict[str, dict[str, object]] = {
        "contact.consent.add": dict(consent),
        "contact.consent.list": {},
        "contact.consent.show": {"consent": agreed.id},
        "contact.consent.withdraw": {"what": "+33142123456"},
        "contact.contract.add": {"number": "+33142123456", "reference": "C-2", "professional": True},
        "contact.contract.list": {},
        "contact.contract.end": {"contract": made.id},
        "contact.check": {"number": "+33142123456", "line": "canvassing"},
        "contact.suppress.add": {"number": "+33142123456"},
        "contact.suppress.list": {},
        "contact.suppress.import": {"numbers": [[1, "+33142123457"]], "write": True},
        "contact.suppress.remove": {"what": "+33142123456"},
    }
    campaigns = await campaign_arguments(services, person.id)
    return {
        "person.add": {"login": "carl", "name": "Carl"},
        "person.kept": {"login": "reader"},
        "person.list": {},
        "person.invite": {"login": "carl"},
        "token.create": {"login": "carl", "name": "CRM", "rights": {"calls.read": "own"}},
        "token.list": {"login": "carl"},
        "token.revoke": {"login": "rita", "token": token},
        "session.list": {"login": "rita"},
        "session.revoke": {"login": "rita", "session": session},
        "role.list": {},
        "role.show": {"role": "employee"},
        "role.set": {"role": "employee", "right": "calls.read", "reach": "team"},
        "role.reset": {"role": "employee"},
        "person.role": {"login": "carl", "roles": ["reader"]},
        "person.grant": {"login": "carl", "purpose": "REC_QUALITY"},
        "person.revoke": {"login": "carl", "purpose": "REC_QUALITY"},
        "person.lock": {"login": "carl"},
        "person.unlock": {"login": "carl"},
        "person.leave": {"login": "rita", "keep": True, "dry_run": True},
        "person.disable": {"login": "carl"},
        "reader.prepare": {"login": "rita"},
        "reader.enrol": {
            "login": "rita",
            "public": base64.b64encode(public).decode(),
            "bundle": base64.b64encode(bundle).decode(),
        },
        "account.add": {"name": "carol", "extension": "103"},
        "account.list": {},
        "account.show": {"name": "carol"},
        "account.give": {"name": "carol", "person": "rita"},
        "account.remove": {"name": "carol"},
        "device.add": {"account": "alice"},
        "device.offer": {"account": "alice"},
        "device.list": {},
        "device.revoke": {"user": shown["devices"][0]["user"]},
        "line.add": {"name": "sales", "number": "300"},
        "line.list": {},
        "line.set": {"line": "sales", "members": ["alice"]},
        **contacts,
        **campaigns,
        "trunk.add": {"name": "north", "host": "127.0.0.1", "port": 9, "transport": "tcp"},
        "trunk.list": {},
        "trunk.set": {"trunk": "north", "channels": 5},
        "trunk.test": {"trunk": "north"},
        "trunk.disable": {"trunk": "north"},
        "trunk.enable": {"trunk": "north"},
        "trunk.remove": {"trunk": "north"},
        "number.add": {"number": "+33142000000", "account": "alice"},
        "number.list": {},
        "mail.login.add": {"account": "alice", "senders": ["alice@example.org"]},
        "mail.login.list": {},
        "mail.login.revoke": {"login": mailing},
        "account.forward": {"name": "alice", "busy": "bob"},
        "account.dnd": {"name": "alice", "on": True},
        "account.call-waiting": {"name": "alice", "on": False},
        "account.present": {"name": "alice", "number": "+33142000000"},
        "account.limits": {"name": "alice", "premium": True},
        "account.disable": {"name": "alice"},
        "account.enable": {"name": "alice"},
        "number.remove": {"number": "+33142000000"},
        "limits.show": {},
        "limits.set": {"international": True},
        "calls.list": {},
        "calls.show": {"call_id": call_id},
        "calls.stats": {"by": "day"},
        "calls.circle": {"account": "alice", "login": "clara"},
        "calls.live": {},
        "calls.hangup": {"call_id": GOING},
        "calls.transfer": {"call_id": GOING[:8], "to": "102"},
        "calls.pause": {"call_id": GOING},
        "calls.originate": {"account": "alice", "number": "102"},
        "emergency.list": {},
        "emergency.check": {},
        "emergency.drill": {"account": "alice"},
        "calls.why": {"call_id": call_id},
        "calls.whys": {},
        "policy.draft": {"from_lines": True, "login": "rita"},
        "policy.list": {},
        "policy.show": {},
        "policy.export": {},
        "policy.simulate": {"number": 1},
        "policy.set": {"number": 1, "rule": "only", "pack": "CDR_STANDARD", "valid_from": "approval"},
        "policy.import": {"document": EXPORTED},
        "policy.discard": {"number": 2},
        "policy.needs": {},
        "policy.enter": {
            "kind": "dpia_signed",
            "pack": "*",
            "evidence": "note 7",
            "done_by": "Dora",
            "done_on": "2026-01-01",
        },
        "policy.withdraw": {"entry": "no such"},
        "policy.approve": {"number": 1, "login": "rita"},
        "policy.history": {},
        "retention.objections": {},
        "retention.register": {},
        "ledger.statistics": {},
        "connection.list": {},
        "inbox.every": {},
        "prompt.list": {"language": "fr"},
        "prompt.show": {"prompt": "PROMPT_BUSY", "language": "fr"},
        "prompt.hear": {"prompt": "PROMPT_BUSY", "language": "fr"},
        "prompt.write": {"prompt": "PROMPT_BUSY", "language": "fr", "text": "C’est occupé."},
        "prompt.use": {"prompt": "PROMPT_BUSY", "language": "fr"},
        "prompt.reset": {"prompt": "PROMPT_BUSY", "language": "fr"},
        "prompt.upload": {"prompt": "PROMPT_BUSY", "language": "fr", "audio": A_RECORDING, "text": "C’est pris."},
        "prompt.discard": {"prompt": "PROMPT_BUSY", "language": "fr"},
        "prompt.approve": {"prompt": "PROMPT_OPTIN", "language": "fr", "number": 1, "login": "rita"},
        "policy.verify": {},
        "retention.due": {},
        "retention.forecast": {},
        "retention.sweep": {},
        "retention.status": {},
        "retention.erase": {"number": "+33142123456"},
        "retention.map": {},
        "retention.orphans": {},
        "retention.orphan-remove": {"orphan": "f" * 32},
        "hold.add": {
            "scope": "account",
            "named": "alice",
            "requested_by": "court",
            "approved_by": "dora",
            "review": "2099-01-01",
        },
        "keys.list": {},
        "keys.rotate": {"line": "number"},
        "hold.list": {},
        "hold.show": {"hold": "e" * 32},
        "hold.lift": {"hold": "e" * 32},
        "recordings.list": {},
        "recordings.show": {"rec_id": "0" * 32},
        "recordings.openings": {"rec_id": "0" * 32},
        "recordings.request": {"rec_id": "0" * 32, "login": "alice"},
        "recordings.requests": {},
        "recordings.decide": {"request": "0" * 32, "login": "alice"},
        "recordings.verify": {},
        "recordings.destroy": {"rec_id": "0" * 32, "because": "order"},
        "recordings.event": {"rec_id": "0" * 32, "event": "contract_signed", "on": "2026-11-28"},
        "ledger.receipt": {"receipt": "d" * 32},
        "ledger.show": {},
        "ledger.verify": {},
        "vault.check": {},
        "alert.test": {},
        "alert.list": {},
        "alert.show": {"alert": raised.id},
        "alert.ack": {"alert": raised.id, "verdict": "misuse", "note": "Carl, +33612345678"},
        "alert.rules": {},
        "alert.runbook": {"kind": "ban-wave"},
        "ban.list": {},
        "ban.lift": {"source": "192.0.2.1"},
        "status": {},
        "system.overview": {},
        "system.check": {},
        "registration.list": {},
        "reload": {},
    }


async def campaign_arguments(services: Services, person_id: str) -> dict[str, dict[str, object]]:
    """Rita writes a campaign, and Dora approves it."""
    now = services.clock()
    async with services.db.transaction() as tx:
        box = await inboxes.add(tx, "offers", "team", now)
        await inboxes.set_member(tx, box.id, person_id, sends=True, sees_sent=False, now=now)
        await inboxes.add_sender(
            tx, box.id, "'Beffroi", "name", now, classes=("marketing",), approved_by="dora", stop_code="36180"
        )
    await writer_of(services).ready(box, now)  # whose keys are made for the first text is no look at anybody
    hers = {"login": "rita", "name": "spring"}
    return {
        "campaign.add": {**hers, "inbox": "offers", "template": "Bonjour"},
        "campaign.look": {**hers, "numbers": [[2, "+33612345678"]]},
        "campaign.write": {**hers, "rows": [[2, "+33612345678", {"nom": "Carl"}]], "first": True, "last": True},
        "campaign.list": {"login": "rita"},
        "campaign.measure": {"login": "rita", "inbox": "offers", "template": "Bonjour"},
        "campaign.show": hers,
        "campaign.edit": {**hers, "template": "Bonjour {nom}"},
        "campaign.preview": hers,
        "campaign.test": {**hers, "to": "+33612345670"},
        "campaign.simulate": hers,
        "campaign.submit": hers,
        "campaign.approve": {**hers, "login": "dora"},
        "campaign.start": hers,
        "campaign.pause": hers,
        "campaign.resume": hers,
        "campaign.stats": hers,
        "campaign.lines": hers,
        "campaign.cancel": hers,
    }


async def access_log(services: Services) -> list[dict[str, Any]]:
    async with services.db.read() as tx:
        return [json.loads(entry.body) for entry in await ledger.entries(tx, "access")]


# There is none of that id, or no reason is given, or nobody has the role.
REFUSED = frozenset(
    {
        *("recordings.destroy", "recordings.event", "recordings.openings", "recordings.request", "recordings.decide"),
        *("recordings.show", "calls.why", "contact.suppress.remove", "retention.orphan-remove"),
        *("policy.withdraw", "policy.approve", "prompt.approve", "system.check"),
    }
)


@pytest.mark.promise("0.6", "2.9")
async def test_one_entry_each(services: Services, shown: dict[str, Any]):
    services.edge, services.live = FakeEdge(), FakeLive()  # type: ignore[assignment]
    services.calls = FakeCalls()  # type: ignore[assignment]
    services.duty = DutyDesk(services.db, Edge(), None, lambda: services.settings, utc_now)  # type: ignore[arg-type]
    services.going_out = GoingOut(services, services.paths.run, look=lambda *_: [])
    given = await arguments(services, shown)
    await text_house.furnish(services)
    services.edge.attached = type("Event", (), {"is_set": lambda self: False})()  # type: ignore[union-attr]
    async with text_house.running(services) as desk:
        # What is done to accounts and persons stands at the end of the others.
        given = await text_house.arguments(services, desk) | given
        assert given.keys() == operations.OPERATIONS.keys(), "a new operation: say here how it is called"
        await each_writes_one(services, given)


async def each_writes_one(services: Services, given: Mapping[str, Mapping[str, object]]) -> None:
    for op, words in given.items():
        before = len(await access_log(services))
        if op in REFUSED:
            with pytest.raises(Failure):
                await operations.call(op, services, ME, words)
            continue
        await operations.call(op, services, IN_A_CASE if op.startswith(NEED_A_REASON) else ME, words)
        fresh = (await access_log(services))[before:]
        assert len(fresh) == (0 if op in SILENT else 1), op
        for entry in fresh:
            assert entry["actor_id"] == os_actor_id(1000, services.keys.ledger)
            assert entry["workstation"] == workstation_id("desk-7", services.keys.ledger)


async def test_the_ledger_holds_no_name_number_or_address(services: Services, shown: dict[str, Any]):
    services.edge, services.live = FakeEdge(), FakeLive()  # type: ignore[assignment]
    me = Actor("os:1000", "ssh:192.0.2.44", reason="Mr Dubois asked, +33612345678", case="C-99")
    given = await arguments(services, shown)
    for op in ("person.add", "account.add", "account.list", "calls.list", "ban.list", "line.list", "alert.ack"):
        await operations.call(op, services, me, given[op])
    text = json.dumps(await access_log(services))
    for word in ("carl", "Carl", "alice", "192.0.2", "33612345678", "Dubois", "C-99", "os:1000"):
        assert word not in text, word


async def test_what_fails_leaves_neither_change_nor_entry(services: Services):
    before = await access_log(services)
    with pytest.raises(Failure):
        await operations.call("line.add", services, ME, {"name": "x", "number": "300", "members": ["alice", "nobody"]})
    assert await access_log(services) == before
    assert "x" not in {one["name"] for one in await operations.call("line.list", services, ME, {})}  # type: ignore[attr-defined]
