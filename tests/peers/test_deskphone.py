"""The desk phone against baresip and against itself, without the product."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.peers import tones
from tests.peers.baresip import Login, Phone
from tests.peers.deskphone import G722, PCMA, DeskPhone
from tests.peers.ports import Ports

NOBODY = "127.0.0.1:9"


def desk(directory: Path, ports: Ports, server: str, hz: int, **options: object) -> DeskPhone:
    login = Login(directory.name, "127.0.0.1", "")
    rate = int(options.get("rate", 8000))  # type: ignore[call-overload]
    return DeskPhone(directory, ports, login, server, says=tones.tone(hz, 30, rate=rate), **options)  # type: ignore[arg-type]


def test_it_talks_to_baresip_holds_and_is_held(tmp_path: Path, ports: Ports):
    bob = Phone(tmp_path / "bob", ports, Login("bob", "127.0.0.1", ""), NOBODY, "udp", says=tones.tone(1000, 30))
    with bob, desk(tmp_path / "anna", ports, bob.sip_address, 400) as anna:
        call = anna.dial("bob")
        bob.wait("CALL_INCOMING")
        bob.answer()
        anna.established(call)
        time.sleep(1)
        anna.hold(call)
        anna.wait("CALL_MEDIA", call, status=2)
        time.sleep(1)
        anna.resume(call)
        anna.wait("CALL_MEDIA", call, status=1, since=2)
        anna.press(call, "5#")
        bob.wait("CALL_DTMF_START")
        bob.press("7")
        assert anna.wait("CALL_DTMF_START", call)["param"] == "7"
        time.sleep(1)
        bob.hang_up()
        anna.closed(call)
        bob.closed()
    assert tones.tones_in(anna.heard(call), (400, 1000)) == {1000}
    assert {tone for file in bob.recordings() for tone in tones.tones_in(tones.read_wav(file)[0][:, 0], (400,))} == {
        400
    }


def test_it_asks_for_transfers_and_is_told_how_they_went(tmp_path: Path, ports: Ports):
    """The other side, with no server between, does what REFER says: it calls the target."""
    ben = desk(tmp_path / "ben", ports, "", 500, answer="auto")
    carl = desk(tmp_path / "carl", ports, "", 1000, answer="auto")
    with ben, carl, desk(tmp_path / "anna", ports, "", 400) as anna:
        first, second = (anna.dial(f"sip:{name.name}@{name.sip_address}") for name in (ben, carl))
        for call in (first, second):
            anna.established(call)
        assert anna.call_id(first) != anna.call_id(second)
        anna.attend(first, second)
        anna.wait("TSX", first, method="REFER", code=202)
        anna.transferred(first)


@pytest.mark.parametrize("options", [{"rate": 16000, "codecs": (G722, PCMA)}, {"prack": True}, {"timer_s": 90}])
def test_wide_band_reliable_replies_and_timers(tmp_path: Path, ports: Ports, options: dict[str, object]):
    rate = int(options.get("rate", 8000))  # type: ignore[call-overload]
    ben = desk(tmp_path / "ben", ports, NOBODY, 500, **options)
    with ben, desk(tmp_path / "anna", ports, ben.sip_address, 5000 if rate == 16000 else 400, **options) as anna:
        call = anna.dial("ben")
        other = ben.rung()
        anna.wait("CALL_RINGING", call)
        ben.answer(other)
        anna.established(call)
        time.sleep(0.8)
        anna.press(call, "9", info=True)
        assert ben.wait("CALL_DTMF_START", other)["param"] == "9"
        anna.hang_up(call)
        ben.closed(other)
    wanted = 5000 if rate == 16000 else 400
    assert tones.tones_in(ben.heard(other), (wanted,), rate=rate) == {wanted}
