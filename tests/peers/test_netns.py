"""The little internet is one: a home that is reached only through what it has opened itself, and not for long."""

from __future__ import annotations

import socket
import threading
import time

import pytest

from tests.peers import netns


@pytest.fixture(scope="module")
def net():
    if reason := netns.why_not():
        pytest.skip(reason)
    with netns.Internet(mapping_s=2) as made:
        yield made


def udp(host: netns.Host) -> socket.socket:
    with host.inside():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((host.address, 0))
        made.settimeout(2)
        return made


def test_nat_hides_the_home_and_forgets_it(net: netns.Internet):
    with udp(net.server) as server, udp(net.home) as home:
        home.sendto(b"hello", server.getsockname())
        data, source = server.recvfrom(100)
        assert data == b"hello"
        assert source[0] == net.router.address and source[1] != home.getsockname()[1]
        server.sendto(b"back", source)
        assert home.recv(100) == b"back"
        time.sleep(3)
        server.sendto(b"too late", source)
        with pytest.raises(TimeoutError):
            home.recv(100)
        home.sendto(b"again", server.getsockname())
        server.sendto(b"here", server.recvfrom(100)[1])
        assert home.recv(100) == b"here"


def test_a_thread_comes_back_and_others_never_left(net: netns.Internet):
    own = socket.create_server(("127.0.0.1", 0))
    port = own.getsockname()[1]
    answers: list[bool] = []

    def elsewhere() -> None:
        with socket.create_connection(("127.0.0.1", port), 2):
            answers.append(True)

    with net.home.inside(), pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", port), 1)
    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    with socket.create_connection(("127.0.0.1", port), 2):
        pass
    own.close()
    assert answers == [True]
