"""Starts programs that count past calls (`server.past_calls`), and adds up what they say."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise

from server.failure import Failure
from server.past_calls import Counted, Who, count, order, read
from server.services.context import Services, database_url
from server.services.work import watch
from storage import history

log = logging.getLogger(__name__)

FEW = 5_000  # not worth a process
MOST_PROCESSES = 4
_LONGEST_ANSWER = 64 * 1024 * 1024


async def past_calls(services: Services, who: Who, first: datetime, last: datetime) -> Counted:
    """Of calls that began from `first` on and before `last`. Raises StorageError, Failure."""
    async with services.db.read() as tx:
        many = await history.how_many(tx, first, last)
        processes = min(MOST_PROCESSES, os.cpu_count() or 1, many // FEW)
        cuts = [await history.nth_at(tx, first, last, many * part // processes) for part in range(1, processes)]
    done, told = 0, watch.get()

    def more(counted: int) -> None:
        nonlocal done
        done += counted
        if told is not None:
            told(done, many)

    if not processes:
        return await count(services.db, who, first, last, progress=more)
    ends = [first, *sorted(set(cuts)), last]
    url, found = database_url(services.paths, services.settings), Counted({})
    spans, problem = list(pairwise(ends)), ""
    try:
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(_ask(order(url, services.keys.fields, who, *span), more)) for span in spans]
        for part in parts:
            found.add(read(part.result()))
    except* (OSError, ValueError) as errors:
        problem = "; ".join(str(one) for one in errors.exceptions)
    if problem:
        log.error("past calls could not be counted: %s", problem)
        raise Failure("the calls of the past could not be counted", "Look into the log, and try again")
    return found


async def _ask(told: bytes, more: Callable[[int], None]) -> bytes:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-m", "server.past_calls"), limit=_LONGEST_ANSWER,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd="/", process_group=0,
    )  # fmt: skip
    assert program.stdin is not None and program.stdout is not None
    try:
        program.stdin.write(told)
        program.stdin.close()
        said = b""
        async for line in program.stdout:
            if line.strip().isdigit():
                more(int(line))
            else:
                said = line
        await program.wait()
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    if program.returncode:
        raise ValueError(f"the program ended with {program.returncode}")
    return said
