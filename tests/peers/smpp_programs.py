"""Message centres that are not ours, processes: npm's smpp and Perl's Net::SMPP, told and heard in lines of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Event = dict[str, Any]


class Centre:
    """`port`: where it listens on loopback. `events`: all that it told."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._changed = asyncio.Condition()
        self.events: list[Event] = []
        self.port = 0

    def told(self, event: str) -> list[Event]:
        return [one for one in self.events if one["event"] == event]

    async def hear(self, event: str, count: int = 1) -> list[Event]:
        """Wait until it told that often of it."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.told(event)) >= count)
        return self.told(event)

    async def tell(self, do: str, **what: Any) -> None:
        """Done when it returns: what comes over the network afterwards finds it so."""
        done = len(self.told("told")) + 1
        stdin = self._process.stdin
        assert stdin is not None
        stdin.write(json.dumps({"do": do, **what}).encode() + b"\n")
        await stdin.drain()
        await self.hear("told", done)

    async def listen(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        while line := await stdout.readline():
            async with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()


@contextlib.asynccontextmanager
async def started(*command: str | Path) -> AsyncIterator[Centre]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*map(str, command), stdin=pipe, stdout=pipe)
    centre = Centre(process)
    try:
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(centre.listen())
            try:
                centre.port = (await centre.hear("listening"))[0]["port"]
                yield centre
            finally:
                assert process.stdin is not None
                process.stdin.close()
                await process.wait()
                await listening
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def node(*, password: str = "secret", **options: Any) -> contextlib.AbstractAsyncContextManager[Centre]:  # noqa: S107
    """Options: `tls` {key, cert, ca: files; with `ca` our certificate is asked for}, `deaf`: to enquire_link."""
    told = json.dumps({"port": 0, "password": password, **options})
    return started("node", HERE / "node" / "smsc.js", told)


def perl(*, password: str = "secret") -> contextlib.AbstractAsyncContextManager[Centre]:  # noqa: S107
    return started("perl", HERE / "perl" / "smsc.pl", "0", password)
