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
