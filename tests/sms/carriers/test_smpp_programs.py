"""The carrier against message centres that others wrote: npm's smpp and Perl's Net::SMPP, with their own codecs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from sms.addresses import Number, SenderName, ShortCode
from sms.carriers import smpp_receipts
from sms.carriers.carrier import (
    Accepted,
    Because,
    Coding,
    Delivery,
    Health,
    NotSent,
    Refused,
    Throttled,
    Unknown,
)
from sms.carriers.smpp_settings import Binds, Tls
from sms.carriers.smpp_texts import LongTexts
from sms.text.joining import joined
from sms.text.segments import plan
from tests.peers.certificates import make_certificate
from tests.peers.smpp_programs import Centre, node, perl
from tests.sms.carriers.house import US, Memory, becomes, part, running, settings

CENTRES = {"node": node, "perl": perl}
both = pytest.mark.parametrize("centre_of", CENTRES.values(), ids=CENTRES)


# --- out --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("centre_of", "binds", "kinds"),
    [
        (node, Binds.TRANSCEIVER, {"transceiver"}),
        (node, Binds.PAIR, {"transmitter", "receiver"}),
        (perl, Binds.TRANSCEIVER, {"transceiver"}),  # this one serves one connection at a time
    ],
)
async def test_every_kind_of_bind_and_goodbye(centre_of: Any, binds: Binds, kinds: set[str]):
    async with centre_of() as centre:
        async with running(settings(centre.port, binds=binds)) as carrier:
            await becomes(carrier, Health.UP)
            assert isinstance(await carrier.submit(part()), Accepted)
        await centre.hear("close", len(kinds))
        assert {bind["kind"] for bind in centre.told("bind")} == kinds
        assert len(centre.told("unbind")) == len(kinds)


@pytest.mark.promise("P21")
async def test_another_program_reads_our_texts():
    texts = [("Dépêche à 5 € [ok]", Coding.GSM7, 0), ("Reçu 😀 cœur", Coding.UCS2, 8)]
    async with node() as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        for text, coding, _ in texts:
            text = text if coding is Coding.UCS2 else text.replace("ê", "e")
            assert isinstance(await carrier.submit(part(text, coding=coding)), Accepted)
        got = await centre.hear("submit", 2)
        assert [one["text"] for one in got] == ["Dépeche à 5 € [ok]", "Reçu 😀 cœur"]
        assert [one["data_coding"] for one in got] == [0, 8]


@pytest.mark.promise("P21")
@pytest.mark.parametrize(
    ("way", "esm_class", "udh", "sar", "by_payload"),
    [
        (LongTexts.UDH8, 0x40, "0003340202", [None] * 3, False),
        (LongTexts.UDH16, 0x40, "080412340202", [None] * 3, False),
        (LongTexts.SAR, 0, None, [0x1234, 2, 2], False),
        (LongTexts.PAYLOAD, 0x40, "0003340202", [None] * 3, True),
    ],
)
async def test_another_program_reads_what_belongs_together(
    way: LongTexts, esm_class: int, udh: str | None, sar: list[int | None], by_payload: bool
):
    async with node() as centre, running(settings(centre.port, long_texts=way)) as carrier:
        await becomes(carrier, Health.UP)
        full = plan("é" * 200, wide_reference=way.wide_reference).parts[0]
        assert await carrier.submit(part(full, number=2, total=2, reference=0x1234)) == Accepted("a0000001")
        [got] = await centre.hear("submit")
        assert got["text"] == full
        assert (got["esm_class"], got["sar"], got["by_payload"]) == (esm_class, sar, by_payload)
        assert got["udh"] == ([udh] if udh else [])


async def test_a_whole_text_by_payload():
    async with node() as centre, running(settings(centre.port, long_texts=LongTexts.PAYLOAD)) as carrier:
        await becomes(carrier, Health.UP)
        await carrier.submit(part("lettre é " * 100))
        [got] = await centre.hear("submit")
        assert (got["text"], got["by_payload"]) == ("lettre é " * 100, True)


async def test_perl_reads_the_same_octets():
    async with perl() as centre, running(settings(centre.port, long_texts=LongTexts.SAR)) as carrier:
        await becomes(carrier, Health.UP)
        await carrier.submit(part("5 €", number=1, total=3, reference=0x1234, wants_receipt=False))
        await carrier.submit(part("😀", coding=Coding.UCS2))
        first, second = await centre.hear("submit", 2)
        assert (first["hex"], first["sar"], first["registered"]) == ("35201b65", ["1234", "03", "01"], 0)
        assert (second["hex"], second["data_coding"], second["registered"]) == ("d83dde00", 8, 1)


@both
@pytest.mark.parametrize(
    ("sender", "ton", "written"),
    [(US, 1, "33600000001"), (ShortCode("36105", "FR"), 3, "36105"), (SenderName("ASSO"), 5, "ASSO")],
)
async def test_senders(centre_of: Any, sender: Any, ton: int, written: str):
    async with centre_of() as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        await carrier.submit(part(sender=sender))
        [got] = await centre.hear("submit")
        assert (got["source_ton"], got["source"], got["destination"]) == (ton, written, "33600000002")


@both
async def test_answers(centre_of: Any):
    async with centre_of() as centre, running(settings(centre.port, response_s=3.0)) as carrier:
        await becomes(carrier, Health.UP)
        await centre.tell("answers", answers=[0x0B, 0x0A, 0x08, 0x45, "silent", 0])
        outcomes = [await carrier.submit(part()) for _ in range(6)]
        assert outcomes[:5] == [
            Refused(Because.ADDRESS, True, "ESME_RINVDSTADR"),
            Refused(Because.SENDER, False, "ESME_RINVSRCADR"),
            Refused(Because.TEMPORARY, False, "ESME_RSYSERR"),
            Refused(Because.TEMPORARY, False, "ESME_RSUBMITFAIL"),
            Unknown("no answer within 3 s"),
        ]
        assert isinstance(outcomes[5], Accepted)


@both
@pytest.mark.parametrize("code", [0x58, 0x14])
async def test_too_fast_then_taken(centre_of: Any, code: int):
    async with centre_of() as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        await centre.tell("answers", answers=[code])
        outcome = await carrier.submit(part())
        while isinstance(outcome, Throttled):
            await asyncio.sleep(outcome.after_s)
            outcome = await carrier.submit(part())
        assert isinstance(outcome, Accepted)
        assert [one["answer"] for one in await centre.hear("submit", 2)] == [code, 0]


@both
@pytest.mark.promise("P21")
async def test_a_link_that_breaks_on_the_way(centre_of: Any):
    async with centre_of() as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.UP)
        await centre.tell("answers", answers=["silent", "destroy"])
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(carrier.submit(part())) for _ in range(2)]
        assert [type(task.result()) for task in tasks] == [Unknown, Unknown]
        await centre.hear("bind", 2)
        await becomes(carrier, Health.UP)
        assert isinstance(await carrier.submit(part()), Accepted)
        await centre.hear("submit", 3)


@both
async def test_a_wrong_password(centre_of: Any):
    async with centre_of(password="another") as centre, running(settings(centre.port)) as carrier:
        await becomes(carrier, Health.REFUSED)
        assert carrier.state().why == "the centre refuses the bind: ESME_RINVPASWD"
        assert await carrier.submit(part()) == NotSent()


async def test_a_centre_that_does_not_answer_enquire_link_is_left():
    async with node(deaf=True) as centre, running(settings(centre.port, enquire_s=0.2, response_s=0.5)) as carrier:
        await becomes(carrier, Health.UP)
        await centre.hear("bind", 2)
        await centre.tell("hear")
        await becomes(carrier, Health.UP)


# --- in ---------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P21")
@pytest.mark.parametrize("form", ["tlv", "text", "both"])
async def test_receipts_find_their_message(form: str):
    memory = Memory()
    async with node() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        await centre.tell("receipts", **{"as": form})
        sent = await carrier.submit(part())
        assert isinstance(sent, Accepted)
        [acknowledged] = await centre.hear("receipt")
        assert acknowledged["status"] == 0
        [receipt] = memory.receipts
        assert receipt.delivery is Delivery.DELIVERED
        assert receipt.recipient == Number("+33600000002")
        assert sent.message_id in receipt.message_ids
        assert (receipt.done_at is None) == (form == "tlv")


async def test_receipts_of_perl_in_the_other_base():
    memory = Memory()
    async with perl() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        await centre.tell("receipts")
        sent = await carrier.submit(part())
        [acknowledged] = await centre.hear("answer")
        assert (acknowledged["id"], acknowledged["status"]) == ("receipt", 0)
        [receipt] = memory.receipts
        assert isinstance(sent, Accepted)
        assert sent.message_id in receipt.message_ids
        assert (receipt.delivery, receipt.error) == (Delivery.UNDELIVERABLE, "034")
        assert smpp_receipts.date("261128120130", settings(1).zone) == receipt.done_at


FROM = {"source_addr": "33612345678", "source_addr_ton": 1, "source_addr_npi": 1, "destination_addr": "36105"}


async def bring(centre: Centre, number: int = 1, **what: Any) -> int:
    await centre.tell("deliver", id=f"text {number}", **what)
    answers = await centre.hear("answer", number)
    return int(answers[-1]["status"])


@pytest.mark.promise("P21")
@pytest.mark.parametrize(
    ("text", "data_coding", "coding"),
    [("STOP à 5 €", 0, Coding.GSM7), ("cœur 😀", 8, Coding.UCS2), ("été", 3, None)],
)
async def test_texts_that_come_in(text: str, data_coding: int, coding: Coding | None):
    memory = Memory()
    async with node() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        assert await bring(centre, fields={**FROM, "short_message": text, "data_coding": data_coding}) == 0
        [got] = memory.parts
        assert (got.text, got.coding) == (text, coding)
        assert (got.sender, got.recipient) == (Number("+33612345678"), ShortCode("36105", "FR"))


async def test_texts_that_come_in_by_data_sm_and_payload():
    memory = Memory()
    async with node() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        fields = {**FROM, "message_payload": "é" * 200, "data_coding": 0}
        assert await bring(centre, fields=fields) == 0
        assert await bring(centre, 2, fields=fields, command="data_sm") == 0
        assert [got.text for got in memory.parts] == ["é" * 200] * 2


@pytest.mark.promise("P21")
async def test_long_texts_that_come_in_by_header_and_by_sar():
    memory = Memory()
    async with node() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        for number, (text, udh) in enumerate([("a" * 153, "050003070201"), ("b €", "050003070202")], 1):
            assert await bring(centre, number, udh=udh, fields={**FROM, "short_message": text, "data_coding": 0}) == 0
        assert [(got.number, got.total, got.reference) for got in memory.parts] == [(1, 2, 7), (2, 2, 7)]
        assert joined([(got.text, got.coding, got.raw) for got in memory.parts]) == "a" * 153 + "b €"
        sar = {"sar_msg_ref_num": 0x1234, "sar_total_segments": 2, "sar_segment_seqnum": 2}
        assert await bring(centre, 3, fields={**FROM, "short_message": "oui", "data_coding": 0, **sar}) == 0
        got = memory.parts[2]
        assert (got.text, got.number, got.total, got.reference) == ("oui", 2, 2, 0x1234)


async def test_perl_brings_texts_and_is_told_when_they_are_not_committed():
    memory = Memory()
    async with perl() as centre, running(settings(centre.port), memory) as carrier:
        await becomes(carrier, Health.UP)
        memory.fails = RuntimeError("no")
        assert await bring(centre, fields={**FROM, "data_coding": 8}, hex="004f0075006d83") == 0x64
        memory.fails = None
        assert await bring(centre, 2, fields={**FROM, "data_coding": 8}, hex="004f00750069") == 0
        assert [got.text for got in memory.parts] == ["Oui"]


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.promise("P21")
async def test_tls_with_an_authority_of_ones_own(tmp_path: Path):
    certificate, key = make_certificate(tmp_path, "centre", "127.0.0.1", "sms.example")
    async with node(tls={"key": str(key), "cert": str(certificate)}) as centre:
        async with running(settings(centre.port, tls=Tls(ca=certificate))) as carrier:
            await becomes(carrier, Health.UP)
            assert isinstance(await carrier.submit(part()), Accepted)
        async with running(settings(centre.port, tls=Tls(ca=certificate, server_name="sms.example"))) as carrier:
            await becomes(carrier, Health.UP)


@pytest.mark.parametrize("what", ["another authority", "another name", "the machine's authorities"])
async def test_a_centre_that_is_not_the_one_gets_no_password(tmp_path: Path, what: str):
    certificate, key = make_certificate(tmp_path, "centre")
    another, _ = make_certificate(tmp_path, "another")
    tls = {
        "another authority": Tls(ca=another),
        "another name": Tls(ca=certificate, server_name="sms.example"),
        "the machine's authorities": Tls(),
    }[what]
    async with node(tls={"key": str(key), "cert": str(certificate)}) as centre:
        async with running(settings(centre.port, tls=tls)) as carrier:
            await becomes(carrier, Health.REFUSED)
            assert "is not believed" in carrier.state().why
        assert centre.told("bind") == []


async def test_a_certificate_of_ours_lets_us_in_and_without_it_nobody_comes_in(tmp_path: Path):
    certificate, key = make_certificate(tmp_path, "centre")
    ours, our_key = make_certificate(tmp_path, "ours")
    async with node(tls={"key": str(key), "cert": str(certificate), "ca": str(ours)}) as centre:
        async with running(settings(centre.port, tls=Tls(ca=certificate, certificate=ours, key=our_key))) as carrier:
            await becomes(carrier, Health.UP)
            assert isinstance(await carrier.submit(part()), Accepted)
        async with running(settings(centre.port, tls=Tls(ca=certificate))) as carrier:
            await centre.hear("tls")
            assert carrier.state().health is Health.CONNECTING
        assert len(centre.told("bind")) == 1


async def test_files_that_are_not_there_are_said(tmp_path: Path):
    async with running(settings(9, tls=Tls(ca=tmp_path / "none.pem"))) as carrier:
        await becomes(carrier, Health.REFUSED)
        assert carrier.state().why == "a file for TLS cannot be used (FileNotFoundError)"
