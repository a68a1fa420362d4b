"""What a process does to the files of one directory, as the kernel saw it: strace, read into operations in order.

What could change a file and is not understood here is an error, never passed over.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_WRITES = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "truncate", "ftruncate", "fallocate")
_NAMES = (
    "open",
    "openat",
    "creat",
    "mkdir",
    "mkdirat",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "rmdir",
)
_SYNCS = ("fsync", "fdatasync", "sync_file_range", "msync", "sync", "syncfs")
_SEEKS = ("lseek", "dup", "dup2", "dup3")
# They change files too. The product does not use them; should it begin to, this has to learn them.
_STRANGE = (
    *("link", "linkat", "symlink", "symlinkat", "openat2", "copy_file_range", "sendfile", "splice", "io_uring_setup"),
    "mmap",
)
_TRACED = ",".join((*_WRITES, *_NAMES, *_SYNCS, *_SEEKS, *_STRANGE))
PASSING = ("run",)  # below the directory: locks and sockets, which are about nothing after a crash
_LONGEST = 8 << 20  # bytes of one write; a longer one is an error

_LINE = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<args>.*)\) += (?P<result>-?\d+|0x[0-9a-f]+|\?)(?P<more>.*)")
_BEGUN = re.compile(r"(?P<pid>\d+) +(?P<call>\w+)\((?P<args>.*?),? *<unfinished \.\.\.>")
_RESUMED = re.compile(r"(?P<pid>\d+) +<\.\.\. (?P<call>\w+) resumed>,? ?(?P<rest>.*)")
_FD = re.compile(r"(-?\d+|AT_FDCWD)(?:<([^>]*)>(\(deleted\))?)?")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


class NotUnderstood(Exception):
    """The trace holds something that this cannot replay."""


@dataclass(frozen=True, slots=True)
class Operation:
    """`path`, `to`: relative to the directory. `begun`, `ended`: lines of the trace, for what overlaps.

    What: "open" (`size` 0 where it truncates, `makes` where it may create), "write", "resize", "mkdir", "rename",
    "unlink", "rmdir", "sync" (a file's bytes, or the names in a directory).
    """

    what: str
    path: str
    begun: int
    ended: int
    at: int = 0
    data: bytes = b""
    size: int | None = None
    to: str = ""
    makes: bool = False

    def __str__(self) -> str:
        return f"{self.ended} {self.what} {self.path}{f' {self.at}+{len(self.data)}' if self.data else ''}{self.to}"


async def run(command: Sequence[str], directory: Path, log: Path) -> tuple[int, list[Operation]]:
    """The status of the command (negative: the signal that ended it), and what it and its children did in there."""
    traced = (
        "strace",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-xx",
        "-s",
        str(_LONGEST),
        "-e",
        f"trace={_TRACED}",
        "-o",
        str(log),
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    process = await asyncio.create_subprocess_exec(*traced, *command, cwd=ROOT, env=environment)
    try:
        status = await process.wait()
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    return status, await asyncio.to_thread(_all, log, directory)


def _all(log: Path, directory: Path) -> list[Operation]:
    return list(read(log.read_text(encoding="ascii").splitlines(), directory.resolve()))


def python(module: str, *args: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *args)


def read(lines: Sequence[str], directory: Path) -> Iterator[Operation]:
    """Those that touched the directory and did not fail, in the order in which they ended."""
    reader = _Reader(str(directory))
    begun: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        since = number
        if match := _BEGUN.fullmatch(line):
            begun[match["pid"]] = number, f"{match['pid']} {match['call']}({match['args']}"
            continue
        if match := _RESUMED.fullmatch(line):
            since, first = begun.pop(match["pid"])
            rest = match["rest"]
            line = f"{first}{'' if rest.startswith(')') or first.endswith('(') else ', '}{rest}"
        found = _LINE.fullmatch(line)
        if found is None:
            if re.fullmatch(r"\d+ +(\+\+\+|---) .*", line) or line.endswith("= ?"):
                continue
            raise NotUnderstood(line[:300])
        if found["result"].startswith("-") or found["result"] == "?":
            continue
        yield from reader.operation(found["call"], found["args"], int(found["result"], 0), since, number)


class _Reader:
    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._at: dict[tuple[str, str], int] = {}  # (descriptor, path): where write() goes on

    def operation(self, call: str, args: str, result: int, begun: int, ended: int) -> Iterator[Operation]:
        handler = getattr(self, f"_{call}", None)
        given = args.split(", ")
        if handler is not None:
            yield from (Operation(begun=begun, ended=ended, **one) for one in handler(given, args, result))
        elif any(self._within(path) is not None for path in _paths(args)):
            raise NotUnderstood(f"{call}({args[:200]}")

    # --- bytes ----------------------------------------------------------------------------------------------------

    def _pwrite64(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        if (path := self._file(given[0])) is not None:
            yield {"what": "write", "path": path, "at": int(given[-1], 0), "data": _text(given[1])[:result]}

    def _write(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        if (path := self._file(given[0])) is not None:
            where = _descriptor(given[0])[0], path
            if where not in self._at:
                raise NotUnderstood(f"where does this write go? {given[0]} {path}")
            yield {"what": "write", "path": path, "at": self._at[where], "data": _text(given[1])[:result]}
            self._at[where] += result

    def _ftruncate(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        if (path := self._file(given[0])) is not None:
            yield {"what": "resize", "path": path, "size": int(given[1], 0)}

    def _lseek(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        if (path := self._file(given[0])) is not None:
            self._at[_descriptor(given[0])[0], path] = result
        yield from ()

    def _sync(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        yield from ()  # the whole disk: nothing is made of it, to be strict

    def _fsync(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        if (path := self._file(given[0])) is not None:
            yield {"what": "sync", "path": path}

    _fdatasync = _fsync

    def _mmap(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        path = self._file(given[4]) if "<" in given[4] else None
        # SQLite's index of its log is made anew after a crash.
        if path is not None and "MAP_SHARED" in args and "PROT_WRITE" in args and not path.endswith("-shm"):
            raise NotUnderstood(f"a mapping that is written: {path}")
        yield from ()

    # --- names ----------------------------------------------------------------------------------------------------

    def _openat(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        path = self._within(_joined(given[0], given[1]))
        if path is None:
            return
        flags = given[2]
        self._at.pop((str(result), path), None)
        if "O_WRONLY" in flags and "O_APPEND" not in flags:
            self._at[str(result), path] = 0
        if "O_CREAT" in flags or "O_TRUNC" in flags:
            size = 0 if "O_TRUNC" in flags else None
            yield {"what": "open", "path": path, "size": size, "makes": "O_CREAT" in flags}

    def _mkdirat(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        if (path := self._within(_joined(given[0], given[1]))) is not None:
            yield {"what": "mkdir", "path": path}

    def _mkdir(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        yield from self._mkdirat(("AT_FDCWD", *given), args, result)

    def _unlinkat(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        if (path := self._within(_joined(given[0], given[1]))) is not None:
            yield {"what": "rmdir" if "AT_REMOVEDIR" in given[2] else "unlink", "path": path}

    def _unlink(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        yield from self._unlinkat(("AT_FDCWD", given[0], "0"), args, result)

    def _rmdir(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        yield from self._unlinkat(("AT_FDCWD", given[0], "AT_REMOVEDIR"), args, result)

    def _renameat2(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        path, to = (self._within(_joined(given[n], given[n + 1])) for n in (0, 2))
        if path is not None and to is not None:
            yield {"what": "rename", "path": path, "to": to}
        elif path is not None or to is not None:
            raise NotUnderstood(f"a name that comes from elsewhere: {args[:200]}")

    _renameat = _renameat2

    def _rename(self, given: Sequence[str], args: str, result: int) -> Iterator[dict[str, object]]:
        yield from self._renameat2(("AT_FDCWD", given[0], "AT_FDCWD", given[1]), args, result)

    # --- where ----------------------------------------------------------------------------------------------------

    def _within(self, path: str) -> str | None:
        """Relative to the directory; "." for itself, None for what is elsewhere."""
        if path == self._directory:
            return "."
        within = path.removeprefix(f"{self._directory}/")
        return None if within == path or within.split("/")[0] in PASSING else within

    def _file(self, descriptor: str) -> str | None:
        _, path, gone = _descriptor(descriptor)
        return None if gone else self._within(path)


def _descriptor(given: str) -> tuple[str, str, bool]:
    match = _FD.fullmatch(given)
    if match is None:
        raise NotUnderstood(f"no descriptor: {given[:100]}")
    return match[1], _plain(match[2] or ""), match[3] is not None


def _joined(base: str, given: str) -> str:
    """The working directory of what is traced is ROOT, and stays it."""
    _, directory, _ = _descriptor(base)
    return os.path.normpath(os.path.join(directory or str(ROOT), _text(given).decode()))  # noqa: PTH118 - as given


def _paths(args: str) -> Iterator[str]:
    for _, path, _ in _FD.findall(args):
        yield _plain(path)
    for text, _ in _TEXT.findall(args):
        if len(text) < 4 * 4096:
            yield bytes.fromhex(text.replace("\\x", "")).decode(errors="replace")


def _text(given: str) -> bytes:
    match = _TEXT.fullmatch(given)
    if match is None or match[2]:
        raise NotUnderstood(f"cut short: {given[:100]}")
    return bytes.fromhex(match[1].replace("\\x", ""))


def _plain(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


def following(first: Sequence[Operation], second: Iterable[Operation]) -> list[Operation]:
    """Those of a process that was started when the one before had ended."""
    lines = max((one.ended for one in first), default=0) + 1
    return [replace(one, begun=one.begun + lines, ended=one.ended + lines) for one in second]
