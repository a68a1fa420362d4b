"""Hosts of a small internet, as network namespaces of this machine: a server, a router with NAT, a home behind it.

    with Internet() as net:                       # needs root; `why_not()` says what is missing
        with net.server.inside():                 # what this thread starts and opens now is on that host
            product.start()
        phone = product.phone("anna", ..., address=net.home.address, host=net.home)

Addresses are those of documentation (RFC 5737) outside and private ones (RFC 1918) at home. Nothing of it is connected
to the machine's own network.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """What is missing to make namespaces with NAT; empty if nothing is."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    missing = [tool for tool in ("ip", "nft", "sysctl") if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    trial = f"beffroi-try-{secrets.token_hex(3)}"
    if subprocess.run(["ip", "netns", "add", trial], capture_output=True).returncode:
        return "this machine lets nobody make network namespaces"
    subprocess.run(["ip", "netns", "del", trial], capture_output=True)
    return ""


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Host:
    """One namespace. `address` is its own."""

    name: str
    address: str

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets, processes and threads that this thread makes meanwhile belong to this host. Raises OSError."""
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(f"/run/netns/{self.name}")
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(before)

    def run(self, *command: str) -> None:
        """A command on that host. `ip netns exec` would mount /sys anew, which fails in a chroot.

        Raises CalledProcessError.
        """
        with self.inside():
            _run(*command)

    def sysctl(self, key: str, value: int) -> None:
        self.run("sysctl", "-qw", f"{key}={value}")


def _enter(where: str | int) -> None:
    descriptor = os.open(where, os.O_RDONLY) if isinstance(where, str) else where
    try:
        if _LIBC.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {where}")
    finally:
        if isinstance(where, str):
            os.close(descriptor)


class Internet:
    """Made on entering, gone on leaving, with everything in it that still listens."""

    def __init__(self, *, mapping_s: int = 600) -> None:
        """`mapping_s`: how long the router remembers a UDP mapping that nobody uses."""
        mark = f"beffroi-{secrets.token_hex(3)}"
        self.server = Host(f"{mark}-server", "198.51.100.1")
        self.router = Host(f"{mark}-router", "198.51.100.2")
        self.home = Host(f"{mark}-home", "192.168.77.10")
        self._mapping_s = mapping_s

    def __enter__(self) -> Self:
        try:
            self._make()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for host in (self.home, self.router, self.server):
            subprocess.run(["ip", "netns", "del", host.name], capture_output=True)

    def _make(self) -> None:
        server, router, home = self.server, self.router, self.home
        for host in (server, router, home):
            _run("ip", "netns", "add", host.name)
            host.run("ip", "link", "set", "lo", "up")
        for here, card, address, there, other, gateway in (
            (server, "wan0", f"{self.server.address}/24", router, "wan0", f"{self.router.address}/24"),
            (home, "lan0", f"{self.home.address}/24", router, "lan0", "192.168.77.1/24"),
        ):
            pair = ("type", "veth", "peer", "name", other, "netns", there.name)
            _run("ip", "link", "add", card, "netns", here.name, *pair)
            for host, device, own in ((here, card, address), (there, other, gateway)):
                host.run("ip", "addr", "add", own, "dev", device)
                host.run("ip", "link", "set", device, "up")
        home.run("ip", "route", "add", "default", "via", "192.168.77.1")
        self.router.sysctl("net.ipv4.ip_forward", 1)
        # "random": the port outside is another than inside, as with most routers of homes that share an address.
        rules = (
            "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100 ; }; "
            'add rule ip nat out oifname "wan0" masquerade random'
        )
        router.run("nft", rules)
        self.forget_mappings_after(self._mapping_s)

    def forget_mappings_after(self, seconds: int) -> None:
        for key in ("udp_timeout", "udp_timeout_stream"):
            self.router.sysctl(f"net.netfilter.nf_conntrack_{key}", seconds)
