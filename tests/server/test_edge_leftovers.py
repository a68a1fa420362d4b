"""What a killed edge leaves behind holds a copy of a private key: the next one removes it."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from server.edge_process import sweep

HOLD = """
import fcntl, os, sys
descriptor = os.open(sys.argv[1], os.O_RDONLY | os.O_CREAT, 0o600)
fcntl.flock(descriptor, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_only_what_nobody_owns_any_more_goes(tmp_path: Path):
    names = ("beffroi-own", "beffroi-alive", "beffroi-dead", "beffroi-starting", "other-dead")
    own, alive, dead, starting, other = (tmp_path / name for name in names)
    for directory in (own, alive, dead, starting, other):
        directory.mkdir()
        (directory / "server.key").write_text("secret")
    for directory in (own, dead, other):
        (directory / "owner").touch()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, alive / "owner"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        sweep(own)
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted({*names} - {"beffroi-dead"})
        holder.kill()
    sweep(own)
    assert not alive.exists(), "its owner was killed"


def test_a_link_is_not_followed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.touch()
    directory = tmp_path / "beffroi-trap"
    directory.mkdir()
    (directory / "owner").symlink_to(outside)
    sweep(tmp_path / "beffroi-own")
    assert directory.exists() and outside.exists()
    descriptor = os.open(outside, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)
