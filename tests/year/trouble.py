"""What may befall a sweep: its end at any step, a database that is gone, somebody who comes between.

A step ends either before it has done anything or after all of it: what lies between is one transaction or one file.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from server import erasables
from storage import receipts, sweeps

ROOT = Path(__file__).resolve().parents[2]
_HANDS = (erasables.Recordings, erasables.Rows, erasables.LogDays, erasables.WeekKeys)
_TARGETS: dict[str, tuple[tuple[Any, str], ...]] = {
    "begin": ((sweeps, "begin"),),
    "keys": tuple((hand, "destroy_keys") for hand in _HANDS),
    "bytes": tuple((hand, "remove_bytes") for hand in _HANDS),
    "remains": tuple((hand, "remains") for hand in _HANDS),
    "prove": ((receipts, "add_all"),),
    "narrow": ((sweeps, "narrow"),),
}


class Killed(BaseException):
    """The process ends here."""


@contextmanager
def broken(step: str, raised: Callable[[], BaseException], *, after: bool) -> Iterator[None]:
    """Whoever comes to this step gets no further."""
    with ExitStack() as stack:
        for owner, name in _TARGETS[step]:
            stack.enter_context(patch.object(owner, name, _cut(getattr(owner, name), raised, after=after)))
        yield


def _cut(
    real: Callable[..., Awaitable[Any]], raised: Callable[[], BaseException], *, after: bool
) -> Callable[..., Awaitable[Any]]:
    async def cut(*args: Any, **more: Any) -> Any:
        if after:
            await real(*args, **more)
        raise raised()

    return cut


@contextmanager
def between(deed: Callable[[], Awaitable[None]]) -> Iterator[list[asyncio.Future[None]]]:
    """Something is done by somebody else after a sweep has said what it is about to destroy, and before it does. Gives
    what is to be awaited then."""
    begin = sweeps.begin
    done: list[asyncio.Future[None]] = []

    async def then_somebody_comes(*args: Any, **more: Any) -> str:
        under_way = await begin(*args, **more)
        if not done:
            done.append(asyncio.ensure_future(deed()))  # noqa: TID251 - awaited by whoever asked
        return under_way

    with patch.object(sweeps, "begin", then_somebody_comes):
        yield done


async def process(data: Path, url: str, moment: float, step: str, *, after: bool) -> int:
    """A sweep in a process of its own, which the kernel ends at that step. Its status."""
    asked = json.dumps({"data": str(data), "url": url, "moment": moment, "step": step, "after": after})
    command = [sys.executable, "-m", "tests.year.trouble", asked]
    child = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stderr=subprocess.PIPE)
    _, said = await child.communicate()
    assert child.returncode in (0, -signal.SIGKILL), said.decode()
    return child.returncode or 0


async def _sweep(asked: dict[str, Any]) -> None:
    from datetime import UTC, datetime

    from config import settings as configuration
    from config.paths import Paths
    from server.services.context import Services, load_keys
    from server.sweeper import Sweeper
    from storage.database import Database

    def ended() -> BaseException:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("still here")

    paths = Paths(Path(asked["data"]))
    settings = configuration.load(paths.config)
    keys = load_keys(paths, settings)
    db = await Database.open(asked["url"], keys.fields, keys.ledger)
    now = datetime.fromtimestamp(asked["moment"], UTC)
    with broken(asked["step"], ended, after=asked["after"]):
        await Sweeper(Services(db, paths, settings, keys, clock=lambda: now)).sweep()
    await db.close()


def draw(seed: str) -> random.Random:
    return random.Random(seed)  # noqa: S311


if __name__ == "__main__":
    asyncio.run(_sweep(json.loads(sys.argv[1])))
