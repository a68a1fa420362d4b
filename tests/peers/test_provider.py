"""The provider of the tests against phones that are not ours: what the product will meet there is really there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers import sipp, tones
from tests.peers.baresip import Login, Phone, check_certificate
from tests.peers.ports import Ports
from tests.peers.provider import DOMAIN, PASSWORD, USER, Provider
from tests.peers.sipp import Caller, Sipp

DORIS = "+33612345678"


@pytest.fixture
def provider(tmp_path: Path, ports: Ports) -> Iterator[Provider]:
    with Provider(tmp_path / "provider", ports) as running:
        yield running


def customer(provider: Provider, directory: Path, *, password: str = PASSWORD, **options: str) -> Phone:
    """A softphone as the provider's customer."""
    login = Login(USER, DOMAIN, password)
    return Phone(directory, provider.ports, login, provider.server("udp"), "udp", says=tones.tone(400, 30), **options)  # type: ignore[arg-type]


def test_a_customer_registers_calls_out_and_is_called(provider: Provider, tmp_path: Path):
    doris = provider.phone("doris", DORIS, answer="auto", says=tones.tone(1000, 30))
    with doris, customer(provider, tmp_path / "us", answer="auto") as us:
        us.registered()
        assert USER in provider.wait_registered()[0]
        us.dial(DORIS)
        us.established()
        time.sleep(1)
        us.hang_up()
        doris.closed()
        since = len(us.events)
        doris.dial("+33170000000")
        us.wait("CALL_ESTABLISHED", since=since)
        time.sleep(1)
        doris.hang_up()
        us.wait("CALL_CLOSED", since=since)
    assert [tones.tones_in(tones.read_wav(path)[0][:, 0], (400, 1000)) for path in us.recordings()] == [{1000}, {1000}]
    assert [tones.tones_in(tones.read_wav(path)[0][:, 0], (400, 1000)) for path in doris.recordings()] == [{400}, {400}]
    first, *_ = provider.seen("INVITE", number=DORIS)
    assert first["From"].startswith(f"<sip:{USER}@{DOMAIN}>")
    [called] = [m for m in provider.messages("snd") if m.method == "INVITE" and not m.code and USER in m.uri]
    assert "+33170000000" in called["To"] and DORIS in called["From"]


def test_a_wrong_password_opens_nothing(provider: Provider, tmp_path: Path):
    with customer(provider, tmp_path / "us", password="wrong"):
        first, second = provider.wait_seen("REGISTER", 2)[:2]
    assert not first["Authorization"] and second["Authorization"]
    assert {m.code for m in provider.messages("snd")} == {401}
    assert provider.contacts() == []


@pytest.mark.parametrize(
    ("what", "reason"), [("503", "503"), ("challenge", ""), ("redirect", "302"), ("486", "486"), ("404", "404")]
)
def test_it_refuses_as_the_test_wants(provider: Provider, tmp_path: Path, what: str, reason: str):
    doris = provider.phone("doris", DORIS, answer="auto")
    provider.behave(INVITE=what)
    with doris, customer(provider, tmp_path / "us") as us:
        us.registered()
        us.dial(DORIS)
        assert us.closed().startswith(reason)
        assert doris.count("CALL_INCOMING") == 0
        provider.behave_well()
        since = len(us.events)
        us.dial(DORIS)
        us.wait("CALL_ESTABLISHED", since=since)


def test_it_says_nothing_or_says_it_late(provider: Provider, tmp_path: Path):
    doris = provider.phone("doris", DORIS, answer="auto")
    provider.behave(INVITE="late", late_s=2)
    with doris, customer(provider, tmp_path / "us") as us:
        us.registered()
        since = time.monotonic()
        us.dial(DORIS)
        assert us.established()["at"] - since > 1.9
        us.hang_up()
        us.closed()
        provider.behave(INVITE="silent")
        us.dial("+33698765432")
        provider.wait_seen("INVITE", number="+33698765432")
        time.sleep(1)
        us.kill()  # it would wait long for answers
    assert [m for m in provider.messages("snd") if m.code and "+33698765432" in m["To"]] == []


def test_it_takes_calls_by_address_and_speaks_tls(tmp_path: Path, ports: Ports):
    with Provider(tmp_path / "provider", ports, digest=False) as provider:
        check_certificate(provider.server("tls"), provider.ca)
        doris = provider.phone("doris", DORIS, answer="auto", srtp=True)
        login = Login("+33170000000", DOMAIN, "")
        us = Phone(
            tmp_path / "us", ports, login, provider.server("tls"), "tls", says=tones.tone(400, 9), ca=provider.ca
        )
        with doris, us:
            us.dial(DORIS)
            us.established()
            time.sleep(1)
            us.hang_up()
            doris.closed()
        assert tones.tones_in(doris.heard(), (400, 1000)) == {400}
        assert provider.seen("INVITE")[0]["Via"].startswith("SIP/2.0/TLS")


def test_its_sipp_subscribers_do_what_providers_do_wrong(provider: Provider, tmp_path: Path):
    audio = sipp.write_audio(tmp_path / "1000.alaw", 1000)
    scenarios = {
        "+331": sipp.early_media(audio, sound_ms=800),
        "+332": sipp.answering(audio, sipp.huge(sipp.SDP, 20_000)),
        "+333": sipp.answering(None, sipp.OPUS_ONLY),
        "+334": sipp.answering(audio, sipp.ELSEWHERE),
        "+335": sipp.answering(audio, gone="deaf"),
        "+336": sipp.answering(audio, gone="before-bye", talk_ms=500),
    }
    runs = {}
    for number, scenario in scenarios.items():
        address = "127.0.0.2" if number == "+334" else "127.0.0.1"
        runs[number] = Sipp(tmp_path / number, provider.ports, scenario, media_address=address, timeout_s=40)
        provider.route(number, f"sip:{number}@127.0.0.1:{runs[number].sip_port}")
    with customer(provider, tmp_path / "us") as us:
        us.registered()

        def call(number: str, seconds: float = 0.8) -> int:
            since = len(us.events)
            us.dial(number)
            us.wait("CALL_ESTABLISHED", since=since)
            time.sleep(seconds)
            return since

        with runs["+331"] as run:
            us.dial("+331")
            us.wait("CALL_PROGRESS")
            time.sleep(1.5)
            us.hang_up()
            assert run.finish().succeeded == 1
        with runs["+332"]:
            since = len(us.events)
            us.dial("+332")
            us.wait("CALL_CLOSED", since=since)  # baresip takes no UDP message above 8 kB
        with runs["+334"] as run:
            call("+334")
            us.hang_up()
            assert run.finish().succeeded == 1
        with runs["+335"] as run:
            call("+335")
            us.hang_up()
            assert run.finish().succeeded == 1
        with runs["+336"] as run:
            call("+336")
            assert run.finish().succeeded == 1
        assert not [m for m in provider.messages() if m.method == "BYE" and not m.code and "+336" in m["From"]]
        us.kill()  # it would wait long for an answer to its BYE
    ok = [m for m in provider.messages() if m.code == 200 and m.method == "INVITE"]
    assert max(len(m.body) for m in ok) > 19_000


def test_a_load_of_calls_passes(provider: Provider, tmp_path: Path):
    """SIPp as the customer with credentials, SIPp behind the provider."""
    with Sipp(tmp_path / "callee", provider.ports, sipp.callee(None), calls=5) as callee:
        provider.route("*", f"sip:any@127.0.0.1:{callee.sip_port}")
        us = Caller(USER, DOMAIN, USER, PASSWORD, DORIS)
        scenario = sipp.caller(None, talk_ms=200)
        with Sipp(tmp_path / "us", provider.ports, scenario, provider.server(), callers=[us], calls=5, rate=5) as run:
            assert run.finish().succeeded == 5
        assert callee.finish().succeeded == 5
