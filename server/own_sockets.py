"""What this server's own processes are connected to, as the kernel tells it (proc(5)): never those of others.

A look sees what is open at that moment: TCP that is connected or connecting, and UDP sockets that are tied to one
address. What Kamailio and the engine send from sockets that are tied to nobody is not to be seen there.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TABLES = (("tcp", "tcp"), ("tcp6", "tcp"), ("udp", "udp"), ("udp6", "udp"))
_ESTABLISHED, _CONNECTING, _LISTENS = "01", "02", "0A"
_NAME_MAX = 32


@dataclass(frozen=True, slots=True)
class Row:
    """One line of /proc/net/tcp and the like."""

    protocol: str
    local: tuple[str, int]
    remote: tuple[str, int]
    state: str
    inode: int


@dataclass(frozen=True, slots=True)
class Going:
    """A connection that one of ours has opened. `process`: the program's name, as the kernel has it."""

    protocol: str
    address: str
    port: int
    process: str


def rows(text: str, protocol: str) -> list[Row]:
    """Of one table. What cannot be read is left out."""
    found = []
    for line in text.splitlines()[1:]:
        parts = line.split()
        try:
            found.append(Row(protocol, _end(parts[1]), _end(parts[2]), parts[3], int(parts[9])))
        except (ValueError, IndexError):
            continue
    return found


def _end(text: str) -> tuple[str, int]:
    """`0100007F:1F90` is 127.0.0.1:8080: words of four bytes, each as the machine has them."""
    address, _, port = text.partition(":")
    words = [bytes.fromhex(address[at : at + 8])[::-1] for at in range(0, len(address), 8)]
    read = ipaddress.ip_address(b"".join(words))
    if isinstance(read, ipaddress.IPv6Address) and read.ipv4_mapped is not None:
        return str(read.ipv4_mapped), int(port, 16)
    return str(read), int(port, 16)


def going(table: Iterable[Row], owners: Mapping[int, str]) -> list[Going]:
    """`owners`: inode of a socket -> program. What was taken at a port that we listen on came in, and is left out,
    as is what stays on the machine."""
    known = [row for row in table if row.inode in owners]
    taken = {(row.protocol, row.local[1]) for row in known if row.state == _LISTENS}
    found: dict[Going, None] = {}
    for row in known:
        if row.state not in (_ESTABLISHED, _CONNECTING) or (row.protocol, row.local[1]) in taken:
            continue
        if not row.remote[1] or ipaddress.ip_address(row.remote[0]).is_loopback:
            continue
        found[Going(row.protocol, row.remote[0], row.remote[1], owners[row.inode])] = None
    return list(found)


def look(root: int, named: str, proc: Path = PROC) -> list[Going]:
    """Of process `root` and all that descend from it, and of processes that are told `named` (a directory of ours) when
    they are started. Blocks some milliseconds: for a thread."""
    table = [row for name, protocol in _TABLES for row in rows(_text(proc / "net" / name), protocol)]
    owners: dict[int, str] = {}
    for pid in ours(root, named, proc):
        program = _text(proc / str(pid) / "comm").strip()[:_NAME_MAX] or "?"
        for inode in _sockets(proc / str(pid) / "fd"):
            owners.setdefault(inode, program)
    return going(table, owners)


def ours(root: int, named: str, proc: Path = PROC) -> set[int]:
    """Ids of our processes."""
    parents: dict[int, int] = {}
    found = {root}
    for entry in proc.iterdir():
        if not entry.name.isdecimal():
            continue
        pid = int(entry.name)
        stat = _text(entry / "stat").rpartition(")")[2].split()
        if len(stat) > 1:
            parents[pid] = int(stat[1])
        if named and named in _text(entry / "cmdline"):
            found.add(pid)
    growing = True
    while growing:
        more = {pid for pid, parent in parents.items() if parent in found} - found
        found |= more
        growing = bool(more)
    return found


def _sockets(directory: Path) -> Iterable[int]:
    """Inodes. A process that lets nobody look, or has just ended, has none."""
    try:
        names = os.listdir(directory)
    except OSError:
        return
    for name in names:
        try:
            target = os.readlink(directory / name)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield int(target[8:-1])


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
