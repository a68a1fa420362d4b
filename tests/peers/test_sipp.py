"""SIPp against a baresip phone, without the product: calls succeed, the tone arrives, failures are seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers import sipp, tones
from tests.peers.baresip import Login, Phone
from tests.peers.ports import Ports
from tests.peers.sipp import Caller, Sipp, SippError


def test_sipp_plays_a_tone_that_a_phone_hears(tmp_path: Path, ports: Ports):
    audio = sipp.write_audio(tmp_path / "400.alaw", 400)
    phone = Phone(
        tmp_path / "bob",
        ports,
        Login("bob", "127.0.0.1", ""),
        "127.0.0.1:9",
        "udp",
        says=tones.tone(1000, 9),
        answer="auto",
    )
    with phone:
        caller = Caller("alice", phone.sip_address, "alice", "secret", "bob")
        scenario = sipp.caller(audio, talk_ms=1500, challenged=0)
        with Sipp(tmp_path / "sipp", ports, scenario, phone.sip_address, callers=[caller]) as load:
            result = load.finish()
        phone.closed()
    assert (result.succeeded, result.failed) == (1, 0)
    assert len(result.setup_ms) == 1
    assert tones.shares(phone.heard(), (400, 1000), skip=0.2)[400] > 0.95


def test_two_sipps_call_each_other(tmp_path: Path, ports: Ports):
    audio = sipp.write_audio(tmp_path / "400.alaw", 400)
    with Sipp(tmp_path / "callee", ports, sipp.callee(audio), calls=4) as callee:
        caller = Caller("alice", "127.0.0.1", "alice", "secret", "bob")
        scenario = sipp.caller(audio, talk_ms=500, challenged=0)
        remote = f"127.0.0.1:{callee.sip_port}"
        with Sipp(tmp_path / "caller", ports, scenario, remote, callers=[caller], calls=4, rate=10, trace=True) as load:
            assert load.finish().succeeded == 4
        assert callee.finish().succeeded == 4
    assert len(sipp.invites(load.directory / "messages.log", "sent")) == 4
    assert sipp.invites(load.directory / "messages.log", "received") == []


def test_a_failed_call_is_an_error(tmp_path: Path, ports: Ports):
    phone = Phone(tmp_path / "bob", ports, Login("bob", "127.0.0.1", ""), "127.0.0.1:9", "udp", says=tones.silence(1))
    with phone:
        caller = Caller("alice", phone.sip_address, "alice", "secret", "bob")
        # No challenge comes from a phone: the scenario that expects one must fail.
        with (
            Sipp(
                tmp_path / "s", ports, sipp.caller(None, talk_ms=1), phone.sip_address, callers=[caller], timeout_s=3
            ) as s,
            pytest.raises(SippError),
        ):
            s.finish()
