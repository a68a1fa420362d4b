"""What a disk holds after a power cut, for a list of operations: the strict reading.

- Bytes of a file are durable after fsync or fdatasync of that file, its length with them.
- A name (made, given another, taken away) is durable after fsync of its directory, and by nothing else. ext4 and xfs
  give more: they keep names in order, and the sync of a new file keeps its name. Nothing here may rest on that.
- What is not durable is there, or not, or half of it, each for itself and in any order: a later write may have
  survived an earlier one. A rename is one act.
- A sync covers what had ended before it began. The end of a process alone (kill -9) loses nothing.
- SQLite's index of its log (-shm) is memory: it is never there after a crash.
"""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.traced import PASSING, NotUnderstood, Operation

Picture = Mapping[str, bytes | None]  # path to content; None: a directory
SUBSETS = 4  # drawn at each barrier


@dataclass(eq=False)
class Change:
    """Something that is not durable yet: bytes, a length, or what some names of a directory stand for."""

    ended: int
    at: int = 0
    data: bytes = b""
    size: int | None = None
    names: Mapping[str, Node | None] | None = None


@dataclass(eq=False)
class Node:
    """A file, or a directory (`names` is a dictionary)."""

    durable: bytes = b""
    now: bytearray = field(default_factory=bytearray)
    names: dict[str, Node] | None = None
    names_now: dict[str, Node] | None = None
    pending: list[Change] = field(default_factory=list)


Kept = Callable[[Change], float]  # 1: it is there; 0: it is not; between: that part of its bytes


class Disk:
    """A directory, and what is durable of it."""

    def __init__(self, directory: Path) -> None:
        """All that is in there now is durable."""
        self._root = _taken(directory)
        for name in PASSING:
            for names in (self._root.names, self._root.names_now):
                assert names is not None
                names.pop(name, None)

    def apply(self, one: Operation) -> None:
        """Raises NotUnderstood."""
        if one.path.endswith("-shm"):
            return
        match one.what:
            case "open":
                self._open(one)
            case "write":
                _change(self._node(one.path), Change(one.ended, one.at, one.data))
            case "resize":
                _change(self._node(one.path), Change(one.ended, size=one.size))
            case "mkdir":
                self._rename(one, {one.path: Node(names={}, names_now={})})
            case "unlink" | "rmdir":
                self._rename(one, {one.path: None})
            case "rename":
                self._rename(one, {one.path: None, one.to: self._node(one.path)})
            case "sync":
                _sync(self._node(one.path), one.begun)

    def _open(self, one: Operation) -> None:
        parent, name = self._parent(one.path)
        assert parent.names_now is not None
        if name not in parent.names_now:
            if not one.makes:
                raise NotUnderstood(str(one))
            self._rename(one, {one.path: Node()})
        elif one.size is not None and parent.names_now[name].now:
            _change(parent.names_now[name], Change(one.ended, size=one.size))

    def _rename(self, one: Operation, wanted: Mapping[str, Node | None]) -> None:
        parents = {self._parent(path)[0] for path in wanted}
        if len(parents) > 1:
            raise NotUnderstood(f"from one directory to another: {one}")
        _change(parents.pop(), Change(one.ended, names={self._parent(path)[1]: node for path, node in wanted.items()}))

    def _node(self, path: str) -> Node:
        node = self._root
        for part in Path(path).parts:
            if node.names_now is None or part not in node.names_now:
                raise NotUnderstood(f"there is no {path}")
            node = node.names_now[part]
        return node

    def _parent(self, path: str) -> tuple[Node, str]:
        return self._node(str(Path(path).parent)), Path(path).name

    # --- what is left -----------------------------------------------------------------------------------------------

    def pending(self) -> list[Change]:
        """Everything that is not durable, wherever it lies; in order."""
        seen: dict[int, Node] = {}
        _walk(self._root, seen)
        return sorted((change for node in seen.values() for change in node.pending), key=lambda change: change.ended)

    def picture(self, kept: Kept) -> Picture:
        """What is found after a crash in which this much was kept of what is pending."""
        found: dict[str, bytes | None] = {}
        _look(self._root, "", kept, found)
        return found


@dataclass(frozen=True, slots=True)
class State:
    """What a crash may leave. `after`: the operation that ended last; `how`: what became of the rest."""

    after: str
    how: str
    picture: Picture


Wanted = Callable[[str, bool], bool]  # how; whether it lies at a sync
KILLED, LOST = "killed", "all lost"


def states(disk: Disk, operations: Sequence[Operation], seed: str, wanted: Wanted) -> Iterator[State]:
    """Every different state that a crash may leave, at every prefix: of kill -9; of a power cut that loses all that is
    not durable; of one that tears the newest write; and at each sync of those that lose each pending change alone, tear
    it, keep it alone, and of some subsets. Those that are not `wanted` are passed over."""
    draw = random.Random(seed)  # noqa: S311
    seen: set[bytes] = set()
    for at in range(len(operations) + 1):
        before = operations[at - 1] if at else None
        if before is not None:
            disk.apply(before)
        ends = at == len(operations) or operations[at].what == "sync"
        synced = ends or before is None or before.what == "sync"
        for how, kept in _ways(disk.pending(), draw, ends=ends):
            if not wanted(how, synced):
                continue
            picture = disk.picture(kept)
            if (mark := _mark(picture)) not in seen:
                seen.add(mark)
                yield State(str(before or "nothing"), how, picture)


def _ways(pending: Sequence[Change], draw: random.Random, *, ends: bool) -> Iterator[tuple[str, Kept]]:
    yield KILLED, lambda change: 1
    yield LOST, lambda change: 0
    if not pending:
        return
    last = pending[-1]
    if len(last.data) > 1:
        yield "the newest torn", lambda change: 0.5 if change is last else 1
    if not ends:
        return
    for one in pending:
        yield f"{one.ended} lost", lambda change, one=one: float(change is not one)
        yield f"{one.ended} alone", lambda change, one=one: float(change is one)
        if len(one.data) > 1:
            yield f"{one.ended} torn", lambda change, one=one: 0.5 if change is one else 1
    for number in range(SUBSETS):
        some = {change for change in pending if draw.random() < 0.5}
        yield f"subset {number}", lambda change, some=some: float(change in some)


def put(picture: Picture, directory: Path) -> None:
    """Lay it out in an empty directory, files for the owner alone."""
    for path, content in picture.items():
        place = directory / path
        if content is None:
            place.mkdir(0o700)
        else:
            descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)


def _taken(path: Path) -> Node:
    if path.is_dir():
        names = {one.name: _taken(one) for one in path.iterdir() if not one.name.endswith("-shm")}
        return Node(names=names, names_now=dict(names))
    content = path.read_bytes()
    return Node(content, bytearray(content))


def _change(node: Node, change: Change) -> None:
    node.pending.append(change)
    if change.names is not None:
        assert node.names_now is not None
        _name(node.names_now, change.names)
    else:
        _write(node.now, change, 1)


def _sync(node: Node, begun: int) -> None:
    done = [change for change in node.pending if change.ended < begun]
    node.pending = [change for change in node.pending if change.ended >= begun]
    content = bytearray(node.durable)
    for change in done:
        if change.names is not None:
            assert node.names is not None
            _name(node.names, change.names)
        else:
            _write(content, change, 1)
    node.durable = bytes(content)


def _write(content: bytearray, change: Change, share: float) -> None:
    if change.size is not None:
        if share:
            del content[change.size :]
            content.extend(bytes(change.size - len(content)))
        return
    data = change.data[: int(len(change.data) * share)]
    if data:
        content.extend(bytes(max(0, change.at - len(content))))
        content[change.at : change.at + len(data)] = data


def _name(names: dict[str, Node], changed: Mapping[str, Node | None]) -> None:
    for name, node in changed.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _walk(node: Node, seen: dict[int, Node]) -> None:
    if id(node) in seen:
        return
    seen[id(node)] = node
    for names in (node.names or {}, node.names_now or {}):
        for below in names.values():
            _walk(below, seen)
    for change in node.pending:  # what was made and is gone again, and may be there nevertheless
        for below in filter(None, (change.names or {}).values()):
            _walk(below, seen)


def _look(node: Node, path: str, kept: Kept, found: dict[str, bytes | None]) -> None:
    if node.names is None:
        content = bytearray(node.durable)
        for change in node.pending:
            _write(content, change, kept(change))
        found[path] = bytes(content)
        return
    if path:
        found[path] = None
    names = dict(node.names)
    for change in node.pending:
        if change.names is not None and kept(change):
            _name(names, change.names)
    for name, below in sorted(names.items()):
        _look(below, f"{path}/{name}" if path else name, kept, found)


def _mark(picture: Picture) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for path, content in sorted(picture.items()):
        digest.update(f"{path}\0{-1 if content is None else len(content)}\0".encode())
        digest.update(content or b"")
    return digest.digest()
