"""Loopback ports for what tests start, so that several test runs and their workers never meet.

A block of ports is taken by locking a file in the temporary directory; the lock goes away with the process, however it
ends. Blocks lie below 32768, where the kernel hands out none by itself.
"""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

FIRST, LAST, BLOCK = 10_000, 32_600, 100


class PortsExhausted(Exception):
    """Every block is taken: something else on this machine holds them, or a test leaks them."""


class Ports:
    """Consecutive ports, `first` to `last`, held until `close`."""

    def __init__(self, count: int = BLOCK) -> None:
        """`count` is rounded up to whole blocks of 100."""
        blocks = -(-count // BLOCK)
        self._locks: list[int] = []
        starts = list(range(FIRST, LAST - blocks * BLOCK, BLOCK))
        random.shuffle(starts)
        for first in starts:
            if self._take(first, blocks):
                self.first, self.last = first, first + blocks * BLOCK - 1
                self._next = first
                return
        raise PortsExhausted(f"no {count} free ports between {FIRST} and {LAST}")

    def _take(self, first: int, blocks: int) -> bool:
        directory = Path(tempfile.gettempdir()) / f"beffroi-ports-{os.getuid()}"
        directory.mkdir(mode=0o700, exist_ok=True)
        for start in range(first, first + blocks * BLOCK, BLOCK):
            lock = os.open(directory / str(start), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            self._locks.append(lock)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self.close()
                return False
        if not all(is_free(port) for port in range(first, first + blocks * BLOCK)):
            self.close()
            return False
        return True

    def take(self, count: int = 1, *, even: bool = False) -> int:
        """The first of `count` consecutive ports that nobody got from here yet."""
        first = self._next + (self._next % 2 if even else 0)
        if first + count - 1 > self.last:
            raise PortsExhausted(f"this block of ports ends at {self.last}")
        self._next = first + count
        return first

    def close(self) -> None:
        for lock in self._locks:
            os.close(lock)
        self._locks = []


def is_free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as s:
            # Like the servers that we start: an old connection in TIME_WAIT does not count.
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                return False
    return True
