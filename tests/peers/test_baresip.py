"""The ears themselves: two phones call each other without the product, and each must hear the other's tone."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.peers import tones
from tests.peers.baresip import Login, Phone, PhoneError
from tests.peers.certificates import make_certificate
from tests.peers.ports import Ports

NOBODY = "127.0.0.1:9"


@pytest.mark.parametrize("srtp", [False, True], ids=["RTP", "SRTP"])
def test_each_phone_hears_the_other_and_sees_its_digits(tmp_path: Path, ports: Ports, srtp: bool):
    bob = Phone(
        tmp_path / "bob", ports, Login("bob", "127.0.0.1", ""), NOBODY, "udp", says=tones.tone(1000, 20), srtp=srtp
    )
    alice = Phone(
        tmp_path / "alice",
        ports,
        Login("alice", "127.0.0.1", ""),
        bob.sip_address,
        "udp",
        says=tones.tone(400, 20),
        srtp=srtp,
    )
    with bob, alice:
        alice.dial(f"sip:bob@{bob.sip_address}")
        bob.wait("CALL_INCOMING")
        bob.answer()
        alice.established()
        alice.press("1#")
        bob.wait("CALL_DTMF_START")
        time.sleep(1)
        alice.hang_up()
        bob.closed()
    assert [e["param"] for e in bob.events if e["type"] == "CALL_DTMF_START"] == ["1", "#"]
    assert tones.shares(alice.heard(), (400, 1000), skip=0.2)[1000] > 0.95
    assert tones.shares(bob.heard(), (400, 1000), skip=0.2)[400] > 0.95


@pytest.mark.parametrize("how", ["wide band", "IPv6"])
def test_wide_band_and_ipv6(tmp_path: Path, ports: Ports, how: str):
    wide = how == "wide band"
    address, rate, hz = ("127.0.0.1", 16000, 5000) if wide else ("::1", 8000, 1000)
    options = {"codecs": "G722/16000/1" if wide else "PCMA/8000/1", "rate": rate, "address": address}
    said = tones.tone(hz, 20, rate=rate)
    bob = Phone(tmp_path / "bob", ports, Login("bob", "localhost", ""), NOBODY, "udp", says=said, **options)  # type: ignore[arg-type]
    login = Login("alice", "localhost", "")
    alice = Phone(tmp_path / "alice", ports, login, bob.sip_address, "udp", says=said, **options)  # type: ignore[arg-type]
    with bob, alice:
        alice.dial("bob")
        bob.wait("CALL_INCOMING")
        bob.answer()
        alice.established()
        time.sleep(1)
        alice.hang_up()
        bob.closed()
    assert tones.shares(alice.heard(), (hz,), rate=rate, skip=0.2)[hz] > 0.9


def test_a_phone_holds_resumes_and_transfers(tmp_path: Path, ports: Ports):
    def phone(name: str, hz: int) -> Phone:
        said = tones.tone(hz, 20)
        return Phone(tmp_path / name, ports, Login(name, "127.0.0.1", ""), "", "udp", says=said, answer="auto")

    alice, bob, carl = phone("alice", 400), phone("bob", 500), phone("carl", 1000)
    with alice, bob, carl:
        alice.dial(f"sip:bob@{bob.sip_address}")
        bob.established()
        time.sleep(0.6)
        since = len(bob.events)
        alice.hold()
        bob.wait("CALL_REMOTE_SDP", since=since)
        time.sleep(0.6)
        alice.resume()
        time.sleep(0.6)
        alice.refer(f"sip:carl@{carl.sip_address}")
        carl.established()
        time.sleep(0.6)
        carl.hang_up()
        alice.closed()
    assert set().union(*(tones.tones_in(tones.read_wav(p)[0][:, 0], (400, 500, 1000)) for p in bob.recordings())) == {
        400, 1000,
    }  # fmt: skip


def test_a_busy_phone_says_so(tmp_path: Path, ports: Ports):
    quiet = tones.silence(5)
    bob = Phone(tmp_path / "bob", ports, Login("bob", "127.0.0.1", ""), NOBODY, "udp", says=quiet)
    alice = Phone(tmp_path / "alice", ports, Login("alice", "127.0.0.1", ""), bob.sip_address, "udp", says=quiet)
    with bob, alice:
        alice.dial(f"sip:bob@{bob.sip_address}")
        bob.wait("CALL_INCOMING")
        bob.hang_up()
        assert alice.closed().startswith("486")


@contextmanager
def tls_server(certificate: Path, key: Path, port: int) -> Iterator[list[bytes]]:
    """Takes TLS connections and keeps the first bytes of each: what a registrar would see."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    seen: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.settimeout(3)
                    seen.append(secure.recv(4096))
            except OSError:  # the phone did not trust us
                seen.append(b"")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield seen
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_over_tls_a_phone_talks_to_a_server_of_its_ca(tmp_path: Path, ports: Ports):
    certificate, key = make_certificate(tmp_path, "server")
    port = ports.take()
    login = Login("alice", "127.0.0.1", "secret")
    with tls_server(certificate, key, port) as seen:
        phone = Phone(
            tmp_path / "alice", ports, login, f"127.0.0.1:{port}", "tls", says=tones.silence(1), ca=certificate
        )
        with phone:
            until = time.monotonic() + 8
            while len(seen) < 2 and time.monotonic() < until:
                time.sleep(0.02)
    assert seen[-1].startswith(b"REGISTER sip:127.0.0.1 SIP/2.0")


def test_over_tls_a_phone_does_not_talk_to_a_server_of_another_ca(tmp_path: Path, ports: Ports):
    certificate, key = make_certificate(tmp_path, "server")
    other, _ = make_certificate(tmp_path, "other")
    port = ports.take()
    login = Login("alice", "127.0.0.1", "secret")
    phone = Phone(tmp_path / "alice", ports, login, f"127.0.0.1:{port}", "tls", says=tones.silence(1), ca=other)
    with tls_server(certificate, key, port) as seen, pytest.raises(PhoneError, match="certificate"), phone:
        time.sleep(1)
    assert seen == [b""]


def test_a_phone_that_does_not_do_it_tells_what_it_did(tmp_path: Path, ports: Ports):
    phone = Phone(tmp_path / "a", ports, Login("a", "127.0.0.1", ""), NOBODY, "udp", says=tones.silence(1))
    with phone, pytest.raises(PhoneError, match="no CALL_ESTABLISHED within 0.2 s"):
        phone.established(timeout=0.2)
