"""The one deletion gate: what it refuses, what it does in which order, and what its receipt proves."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from retention.gate import (
    DestructionIncomplete,
    DestructionRefused,
    Gate,
    Hold,
    Item,
    Plan,
    Remains,
    Trigger,
    plan_destruction,
)
from retention.receipt import Receipt, ReceiptError, commitment, parse, verify

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ITEM = Item("a" * 32, "recording", "REC_QUALITY@2026-11-21.1", NOW - timedelta(days=1), NOW + timedelta(days=90))
LATER = NOW + timedelta(days=10)
KEY = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
COMMITMENT_KEY = b"\x02" * 32


class Folder:
    """A room with a wrap, a file and an index entry for each item, in a real directory."""

    def __init__(self, place: Path) -> None:
        self.place, self.steps, self.stuck = place, list[str](), ""
        self.may_be_left: tuple[str, ...] = ()

    def add(self, item_id: str) -> None:
        for kind in ("wrap", "file", "index"):
            (self.place / f"{item_id}.{kind}").write_text("x")

    def _drop(self, item_id: str, kind: str) -> None:
        if kind != self.stuck:
            (self.place / f"{item_id}.{kind}").unlink(missing_ok=True)

    async def destroy_key(self, item_id: str) -> None:
        self.steps.append("key")
        self._drop(item_id, "wrap")

    async def remove_bytes(self, item_id: str) -> tuple[str, ...]:
        self.steps.append("bytes")
        self._drop(item_id, "file")
        self._drop(item_id, "index")
        return self.may_be_left

    async def remains(self, item_id: str) -> Remains:
        self.steps.append("look")
        left = [int((self.place / f"{item_id}.{kind}").exists()) for kind in ("wrap", "file", "index")]
        return Remains(*left)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path)
    folder.add(ITEM.item_id)
    return folder


def plan(
    trigger: Trigger = Trigger.ADMIN_ORDER, item: Item = ITEM, minimum: datetime | None = None, *holds: Hold
) -> Plan:
    return plan_destruction(item, trigger, holds, minimum, NOW)


@pytest.mark.parametrize("trigger", list(Trigger))
def test_a_hold_stops_everything(trigger: Trigger) -> None:
    expired = replace(ITEM, expires_at=NOW - timedelta(days=1))
    found = plan(trigger, expired, None, Hold("h1"), Hold("h2", lifted_at=NOW - timedelta(days=1)))
    assert not found.destroy and "h1" in found.rule and "h2" not in found.rule
    assert plan(trigger, expired, None, Hold("h2", lifted_at=NOW)).destroy


@pytest.mark.promise("2.6")
@pytest.mark.parametrize(
    ("trigger", "destroyed"),
    [
        (Trigger.ADMIN_ORDER, False), (Trigger.CONSENT_WITHDRAWN, False), (Trigger.RETENTION_EXPIRY, False),
        (Trigger.NO_CONTRACT, True), (Trigger.OBJECTION, True),
    ],
)  # fmt: skip
def test_a_minimum_period_by_law(trigger: Trigger, destroyed: bool) -> None:
    found = plan(trigger, replace(ITEM, expires_at=NOW), LATER)
    assert found.destroy is destroyed
    if not destroyed:
        assert found.again_at == LATER and "minimum" in found.rule
    assert plan(trigger, replace(ITEM, expires_at=NOW), NOW).destroy


def test_an_objection_where_the_pack_keeps_what_was_recorded() -> None:
    kept = replace(ITEM, destroy_on_objection=False)
    assert not plan(Trigger.OBJECTION, kept, LATER).destroy
    assert plan(Trigger.OBJECTION).destroy


def test_the_sweep_waits_for_expiry() -> None:
    assert plan(Trigger.RETENTION_EXPIRY).again_at == ITEM.expires_at
    assert plan(Trigger.RETENTION_EXPIRY, replace(ITEM, expires_at=NOW)).destroy


@given(
    st.sampled_from(Trigger),
    st.lists(st.builds(Hold, st.just("h"), st.none() | st.just(LATER) | st.just(NOW)), max_size=3),
    st.none() | st.sampled_from([NOW, LATER]),
    st.sampled_from([NOW, LATER]),
    st.booleans(),
)
def test_every_decision_explains_itself_and_no_hold_is_passed_over(
    trigger: Trigger, holds: list[Hold], minimum: datetime | None, expires_at: datetime, on_objection: bool
) -> None:
    item = replace(ITEM, expires_at=expires_at, destroy_on_objection=on_objection)
    found = plan_destruction(item, trigger, holds, minimum, NOW)
    assert found.rule
    if any(hold.lifted_at != NOW for hold in holds):
        assert not found.destroy


@pytest.mark.promise("L3", "2.12")
async def test_key_first_then_bytes_then_a_look_then_the_receipt(folder: Folder) -> None:
    receipt = await Gate(KEY, COMMITMENT_KEY).destroy(plan(Trigger.OBJECTION), folder, NOW, ledger_seq=7)
    assert folder.steps == ["key", "bytes", "look"] and list(folder.place.iterdir()) == []
    verify(receipt, KEY.public_key())
    assert receipt.trigger == "objection" and receipt.ledger_seq == 7
    assert receipt.live_erased_at == "2026-11-21T12:00:00Z" and receipt.backup_effective_at == "2026-11-28T12:00:00Z"
    assert receipt.object_ids_commitment == commitment((ITEM.item_id,), COMMITMENT_KEY)
    assert ITEM.item_id not in receipt.to_json()


async def test_what_the_room_cannot_exclude_stands_in_the_receipt(folder: Folder) -> None:
    folder.may_be_left = ("slack_of_pages",)
    receipt = await Gate(KEY, COMMITMENT_KEY).destroy(plan(), folder, NOW, exceptions_kept=("ledger",))
    assert receipt.exceptions_kept == ("ledger", "slack_of_pages")


@pytest.mark.promise("L3")
@pytest.mark.parametrize("stuck", ["wrap", "file", "index"])
async def test_no_receipt_while_anything_remains(folder: Folder, stuck: str) -> None:
    gate = Gate(KEY, COMMITMENT_KEY)
    folder.stuck = stuck
    with pytest.raises(DestructionIncomplete) as caught:
        await gate.destroy(plan(), folder, NOW)
    assert not caught.value.remains.nothing
    folder.stuck = ""
    assert (await gate.destroy(plan(), folder, NOW)).signature  # taken up again


async def test_a_refused_plan_touches_nothing(folder: Folder) -> None:
    with pytest.raises(DestructionRefused, match="legal hold"):
        await Gate(KEY, COMMITMENT_KEY).destroy(plan(Trigger.ADMIN_ORDER, ITEM, None, Hold("h1")), folder, NOW)
    assert folder.steps == [] and len(list(folder.place.iterdir())) == 3


async def test_any_change_of_a_receipt_shows(folder: Folder) -> None:
    receipt = await Gate(KEY, COMMITMENT_KEY).destroy(plan(), folder, NOW)
    assert parse(receipt.to_json()) == receipt
    verify(parse(receipt.to_json()), KEY.public_key())
    other: dict[type, object] = {str: "x", int: 9, tuple: ("x",), dict: {"x": 1}, type(None): 9}
    for field in fields(Receipt):
        changed = replace(receipt, **{field.name: other[type(getattr(receipt, field.name))]})
        with pytest.raises(ReceiptError):
            verify(changed, KEY.public_key())
    with pytest.raises(ReceiptError):
        verify(receipt, Ed25519PrivateKey.generate().public_key())


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"receipt_id": 1}'])
def test_what_is_no_receipt(text: str) -> None:
    with pytest.raises(ReceiptError):
        parse(text)


async def test_a_receipt_with_an_unknown_key_is_refused(folder: Folder) -> None:
    receipt = await Gate(KEY, COMMITMENT_KEY).destroy(plan(), folder, NOW)
    with pytest.raises(ReceiptError):
        parse(json.dumps(json.loads(receipt.to_json()) | {"more": 1}))


def test_a_commitment_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32"):
        Gate(KEY, b"short")
