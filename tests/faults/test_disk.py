"""The disk that is replayed, and the reading of traces: what is durable when, and what may be lost alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import traced
from tests.faults.disk import LOST, Disk, Picture, put, states
from tests.faults.traced import NotUnderstood, Operation

Files = dict[str, bytes]


def done(what: str, path: str, line: int, /, **more: object) -> Operation:
    return Operation(what, path, line, line, **more)  # type: ignore[arg-type]


def files(picture: Picture) -> Files:
    return {path: content for path, content in picture.items() if content is not None}


def after(tmp_path: Path, *operations: Operation, kept: float = 0) -> Files:
    disk = Disk(tmp_path)
    for one in operations:
        disk.apply(one)
    return files(disk.picture(lambda change: kept))


def test_bytes_are_durable_after_their_sync(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    first, second = done("write", "a", 1, data=b"new"), done("write", "a", 3, at=3, data=b"er")
    assert after(tmp_path, first) == {"a": b"old"}
    assert after(tmp_path, first, kept=1) == {"a": b"new"}
    assert after(tmp_path, first, done("sync", "a", 2), second) == {"a": b"new"}
    assert after(tmp_path, first, second, done("sync", "a", 4)) == {"a": b"newer"}


def test_a_sync_covers_what_had_ended_before_it_began(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    beside = Operation("sync", "a", begun=1, ended=3)
    assert after(tmp_path, done("write", "a", 2, data=b"new"), beside) == {"a": b"old"}


def test_a_name_is_durable_after_the_sync_of_its_directory_and_not_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    made = (done("open", "b", 1, makes=True), done("write", "b", 2, data=b"x"), done("sync", "b", 3))
    assert after(tmp_path, *made) == {"a": b"old"}
    assert after(tmp_path, *made, done("sync", ".", 4)) == {"a": b"old", "b": b"x"}
    assert after(tmp_path, done("unlink", "a", 1)) == {"a": b"old"}
    assert after(tmp_path, done("unlink", "a", 1), done("sync", ".", 2)) == {}
    assert after(tmp_path, done("rename", "a", 1, to="c")) == {"a": b"old"}
    assert after(tmp_path, done("rename", "a", 1, to="c"), kept=1) == {"c": b"old"}


def test_each_may_be_lost_alone_kept_alone_and_torn(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"....")
    writes = [done("write", "a", 1, data=b"11"), done("write", "a", 2, at=2, data=b"22"), done("sync", "a", 3)]
    found = {files(state.picture)["a"] for state in states(Disk(tmp_path), writes, "seed", lambda how, synced: True)}
    assert found == {b"....", b"11..", b"1...", b"..22", b"112.", b"1122", b"1.22"}
    lost = [files(state.picture)["a"] for state in states(Disk(tmp_path), writes, "seed", lambda how, _: how == LOST)]
    assert lost == [b"....", b"1122"]


def test_what_is_replayed_is_what_there_is(tmp_path: Path) -> None:
    """A picture is laid out as it was taken."""
    before, copy = tmp_path / "before", tmp_path / "copy"
    (before / "d").mkdir(parents=True)
    (before / "d" / "f").write_bytes(b"x")
    copy.mkdir()
    put(Disk(before).picture(lambda change: 1), copy)
    assert (copy / "d" / "f").read_bytes() == b"x"


SCRIPT = """
import os, sys, threading
d = sys.argv[1]
with open(f"{d}/made", "wb", buffering=0) as f:
    f.write(b"hello"); f.write(b" you"); os.fsync(f.fileno())
fd = os.open(f"{d}/old", os.O_RDWR)
os.pwrite(fd, b"XY", 1); os.ftruncate(fd, 4); os.fdatasync(fd)
os.mkdir(f"{d}/sub"); os.rename(f"{d}/made", f"{d}/last"); os.unlink(f"{d}/goes")
if len(sys.argv) > 2: os.link(f"{d}/old", f"{d}/second")
"""


async def traces(tmp_path: Path, *more: str) -> tuple[Path, list[Operation]]:
    data = tmp_path / "data"
    data.mkdir()
    (data / "old").write_bytes(b"abcdefg")
    (data / "goes").write_bytes(b"")
    command = (sys.executable, "-c", SCRIPT, str(data), *more)
    before = Disk(data)
    status, operations = await traced.run(command, data, tmp_path / "log")
    assert status == 0
    for one in operations:
        before.apply(one)
    assert files(before.picture(lambda change: 1)) == {"last": b"hello you", "old": b"aXYd"}
    assert files(before.picture(lambda change: 0)) == {"old": b"aXYd", "goes": b""}
    return data, operations


async def test_a_real_trace_replayed_is_the_directory_that_was_left(tmp_path: Path) -> None:
    data, operations = await traces(tmp_path)
    assert [one.what for one in operations][:4] == ["open", "write", "write", "sync"]
    assert {path.name for path in data.iterdir()} == {"last", "old", "sub"}


async def test_what_is_not_understood_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(NotUnderstood, match="link"):
        await traces(tmp_path, "link")


def test_a_call_that_was_interrupted_in_the_trace_is_put_together() -> None:
    def hexed(text: str) -> str:
        return "".join(f"\\x{byte:02x}" for byte in text.encode())

    descriptor: Callable[[str], str] = lambda name: f"5<{hexed(f'/d/{name}')}>"  # noqa: E731
    lines = [
        f'7 pwrite64({descriptor("a")}, "{hexed("xyz")}", 3, 9 <unfinished ...>',
        f"8 fsync({descriptor('a')} <unfinished ...>",
        "7 <... pwrite64 resumed>) = 3",
        "8 <... fsync resumed>)          = 0",
        f"8 fsync({descriptor('b')}) = -1 EIO (Input/output error)",
        "8 +++ exited with 0 +++",
    ]
    write, sync = traced.read(lines, Path("/d"))
    assert (write.what, write.at, write.data, write.begun, write.ended) == ("write", 9, b"xyz", 0, 2)
    assert (sync.what, sync.begun, sync.ended) == ("sync", 1, 3)
