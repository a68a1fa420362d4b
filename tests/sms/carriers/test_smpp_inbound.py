"""Whatever a centre brings is a text or a receipt: what raised here would be brought again for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sms.addresses import as_text, of_text
from sms.carriers import smpp_pdu, smpp_receipts
from sms.carriers.carrier import InboundPart, Receipt
from sms.carriers.smpp_inbound import Inbound
from sms.carriers.smpp_link import Link, Timers
from sms.carriers.smpp_pdu import Data, Message, Pdu, Place
from tests.sms.carriers.house import Memory, settings

OCTET = st.integers(0, 255)
WRITTEN = st.text(st.characters(min_codepoint=1, max_codepoint=255), max_size=20) | st.from_regex(r"\A\+?[0-9]{1,20}\Z")
PLACES = st.builds(Place, st.integers(0, 7), OCTET, WRITTEN)
CODINGS = st.sampled_from([0, 1, 3, 8]) | OCTET
CLASSES = st.sampled_from([0, 0x04, 0x20, 0x40, 0x44]) | OCTET
TAGS = st.sampled_from([0x1E, 0x423, 0x427, 0x424, 0x20C, 0x20E, 0x20F, 0x1400])
TLVS = st.lists(st.tuples(TAGS, st.binary(max_size=70)), max_size=5).map(tuple)
DIGITS = st.text("0123456789abcdefABCDEF", max_size=70)
RECEIPT = st.builds(
    lambda id_, date, stat: f"id:{id_} done date:{date} stat:{stat} err:".encode(), DIGITS, DIGITS, DIGITS
)
MESSAGES = st.builds(Message, PLACES, PLACES, st.binary(max_size=254) | RECEIPT, CODINGS, CLASSES, tlvs=TLVS)
DATA = st.builds(Data, PLACES, PLACES, CODINGS, CLASSES, tlvs=TLVS)


class Told(Link):
    """Keeps the statuses that it is told to answer."""

    def __init__(self) -> None:
        super().__init__("told", 1, Timers(), lambda link, pdu: None)
        self.statuses: list[int] = []

    def answer(self, request: Pdu, status: int = smpp_pdu.OK) -> None:
        self.statuses.append(status)


async def bring(body: Message | Data, **more: Any) -> tuple[list[InboundPart], list[Receipt]]:
    memory, link = Memory(), Told()
    inbound = Inbound(settings(1, inbound_at_a_time=1, **more), memory)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(inbound.run())
        inbound.take(link, Pdu(smpp_pdu.DELIVER_SM, 1, body))
        for _ in range(20):
            await asyncio.sleep(0)
        running.cancel()
    assert link.statuses == [smpp_pdu.OK]
    return memory.parts, memory.receipts


@given(MESSAGES | DATA, st.sampled_from(["FR", "RE", "US", "GB"]))
def test_anything_is_taken(body: Message | Data, country: str):
    parts, receipts = asyncio.run(bring(body, country=country))
    if smpp_receipts.is_receipt(body.esm_class, body.tlvs):
        assert parts == []
        assert all(receipt.message_ids for receipt in receipts)
    else:
        [part] = parts
        assert of_text(as_text(part.sender)) == part.sender
        assert of_text(as_text(part.recipient)) == part.recipient
        (part.text or "").encode()
        assert 1 <= part.number <= part.total
