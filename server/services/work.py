"""What takes longer than somebody waits at a page: it goes on by itself, one after the other, and is found again.

What came of it is kept in memory for a day, as counts that hold no number and no name, with the login of who began it;
a restart forgets it. What it was asked with goes when it ends.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from server.failure import Failure

log = logging.getLogger(__name__)

MOST = 20
KEPT = timedelta(days=1)
_WAITING = 5

watch: ContextVar[Callable[[int, int], None] | None] = ContextVar("watch", default=None)
"""Where somebody wants to know how far it is: told how much of it is done, and of how much."""


@dataclass(slots=True)
class Job:
    """`done` of `total` are seen to; `total` 0: not known yet. `result` or `failure`: what came of it, at its end."""

    id: str
    about: str
    begun_by: str  # a person's login
    begun_at: datetime
    done: int = 0
    total: int = 0
    ended_at: datetime | None = None
    result: Any = field(default=None, repr=False)
    failure: Failure | None = None


class Work:
    """`run` does what `begin` is given."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._queue: asyncio.Queue[tuple[Job, Callable[[], Awaitable[Any]]]] = asyncio.Queue()

    def begin(self, about: str, login: str, now: datetime, call: Callable[[], Awaitable[Any]]) -> Job:
        """Raises Failure where too many wait already."""
        self._forget(now)
        if sum(job.ended_at is None for job in self._jobs.values()) >= _WAITING:
            raise Failure("others wait for such an answer already", "Try again when theirs are there", "busy")
        job = Job(secrets.token_hex(8), about, login, now)
        self._jobs[job.id] = job
        self._queue.put_nowait((job, call))
        return job

    def get(self, job_id: str) -> Job:
        """Raises Failure."""
        if job_id not in self._jobs:
            raise Failure("that is not there any more", "Begin it again", "not_found")
        return self._jobs[job_id]

    def all(self, now: datetime) -> list[Job]:
        """Newest first."""
        self._forget(now)
        return list(reversed(self._jobs.values()))

    async def run(self, clock: Callable[[], datetime]) -> None:
        """Until cancelled."""
        while True:
            await self._next(clock)

    async def _next(self, clock: Callable[[], datetime]) -> None:
        job, call = await self._queue.get()
        await self._do(job, call)
        job.ended_at = clock()

    async def _do(self, job: Job, call: Callable[[], Awaitable[Any]]) -> None:
        def told(done: int, total: int) -> None:
            job.done, job.total = done, total

        watching = watch.set(told)
        try:
            job.result = await call()
        except Failure as failure:
            job.failure = Failure(failure.what, failure.remedy, failure.code)
        except Exception:  # the boundary of a job: it is written down, the others go on
            log.exception("work at %s failed", job.about)
            job.failure = Failure("it failed", "Look into the log, and try again")
        finally:
            watch.reset(watching)

    def _forget(self, now: datetime) -> None:
        ended = [job for job in self._jobs.values() if job.ended_at is not None]
        for place, job in enumerate(reversed(ended)):
            if place >= MOST or (job.ended_at is not None and job.ended_at + KEPT < now):
                del self._jobs[job.id]
