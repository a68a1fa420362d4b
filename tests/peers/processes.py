"""CPU and memory of a process and all below it, read from /proc."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc/PID/stat and its command line."""

    pid: int
    parent: int
    command: str
    state: str
    cpu_s: float
    """Its own, user and system."""
    reaped_s: float
    """That of children it has waited for, theirs included."""


def read(pid: int) -> Process | None:
    """None if it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name may hold spaces and brackets: fields are counted from its last bracket (proc(5)).
    fields = stat[stat.rindex(")") + 2 :].split()
    user, system, waited_user, waited_system = (int(field) * TICK_S for field in fields[11:15])
    return Process(pid, int(fields[1]), command, fields[0], user + system, waited_user + waited_system)


def tree(roots: Iterable[int]) -> list[Process]:
    """The roots and everything below them that is alive now."""
    everyone = [p for entry in Path("/proc").iterdir() if entry.name.isdigit() and (p := read(int(entry.name)))]
    children = defaultdict(list)
    for process in everyone:
        children[process.parent].append(process)
    found: list[Process] = []
    todo = [p for p in everyone if p.pid in set(roots)]
    while todo:
        process = todo.pop()
        found.append(process)
        todo += children[process.pid]
    return found


def cpu_s(roots: Iterable[int], role: Callable[[Process, dict[int, Process]], tuple[str, str]]) -> dict[str, float]:
    """CPU seconds a role since the start, of the living and of the reaped.

    `role(process, by_pid)` names the role of a process and that of the children it reaped.
    """
    alive = tree(roots)
    by_pid = {p.pid: p for p in alive}
    sums: dict[str, float] = defaultdict(float)
    for process in alive:
        own, reaped = role(process, by_pid)
        sums[own] += process.cpu_s
        sums[reaped] += process.reaped_s
    return dict(sums)


def pss_mb(roots: Iterable[int]) -> float:
    """Proportional set size of all of them: shared pages are counted once, in parts."""
    total_kb = 0
    for process in tree(roots):
        try:
            rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        total_kb += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total_kb / 1024
