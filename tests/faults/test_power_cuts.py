"""What a power cut leaves of a destruction, at whatever moment it comes: the writes of a real one are traced, and every
state that the disk may be in after each of them is opened by the product.

Every recording is there as a whole or goes; nobody says of anything that it is gone while a byte of it is there; and
what was begun is finished by the next start, with one receipt. Of the states the default run looks at those around each
sync and at a part of the others, `scripts/test --full` at all.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.services.context import open_services
from tests.faults import house, scenes, traced
from tests.faults.disk import KILLED, LOST, Disk, State, Wanted, put, states
from tests.faults.house import Facts
from tests.faults.judge import judge
from tests.faults.traced import Operation

pytestmark = [pytest.mark.promise("L3", "2.5"), pytest.mark.timeout(900)]
SEED = "power"
EVERY = 60  # of the states that lie at no sync, in the default run
full = pytest.mark.full
each = pytest.mark.parametrize("trace", scenes.SCENES, indirect=True)


@dataclass(frozen=True)
class Trace:
    name: str
    place: Path
    facts: Facts
    operations: Sequence[Operation]

    @property
    def before(self) -> Path:
        return self.place / "before"


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory in memory: each state is put there, opened and forgotten, and nobody waits for a disk."""
    shared = Path("/dev/shm")
    place = Path(tempfile.mkdtemp(prefix="beffroi-", dir=shared if os.access(shared, os.W_OK) else None))
    yield place
    shutil.rmtree(place)


@pytest.fixture
async def trace(request: pytest.FixtureRequest, memory: Path) -> AsyncIterator[Trace]:
    """An instance from before, and what was done to it by a process of its own."""
    data, facts_file = memory / "data", memory / "facts"
    house.set_up(data)
    async with open_services(data) as services:
        facts = await scenes.SCENES[request.param].prepare(services)
    facts_file.write_text(facts.to_json())
    shutil.copytree(data, memory / "before")
    yield Trace(request.param, memory, facts, await followed(request.param, memory, data))


async def followed(name: str, place: Path, data: Path) -> list[Operation]:
    command = traced.python("tests.faults.scenes", name, str(data), str(place / "facts"))
    status, operations = await traced.run(command, data, place / "strace")
    assert status == 0
    return operations


async def judge_all(found: Iterable[State], trace: Trace) -> int:
    """How many there were. AssertionError names the first in which something is wrong."""
    count = 0
    place = trace.place / "state"
    for state in found:
        count += 1
        place.mkdir(0o700)
        put(state.picture, place)
        try:
            await judge(place, state.picture, trace.name, trace.facts)
        except Exception as error:
            raise AssertionError(f"after {state.after!r}, {state.how}: {error}") from error
        shutil.rmtree(place)
    return count


def sample() -> Wanted:
    """Those around each sync, where nothing or all is lost, and some of the others."""
    numbers = itertools.count()
    return lambda how, synced: (synced and how in (KILLED, LOST)) or next(numbers) % EVERY == 0


@each
async def test_around_each_sync_it_is_whole_or_goes_with_one_receipt(trace: Trace) -> None:
    assert await judge_all(states(Disk(trace.before), trace.operations, SEED, sample()), trace) > 30


@full
@each
async def test_in_every_state_it_is_whole_or_goes_with_one_receipt(trace: Trace) -> None:
    assert await judge_all(states(Disk(trace.before), trace.operations, SEED, lambda how, synced: True), trace) > 500


# --- killed, taken up again, and then the power goes ------------------------------------------------------------------


def before_syncs(operations: Sequence[Operation], below: str = "") -> list[int]:
    """Prefixes just before a sync of something that lies there."""
    return [at for at, one in enumerate(operations) if one.what == "sync" and one.path.startswith(below)]


async def twice(trace: Trace, at: int, *, around_syncs: bool) -> Iterator[State]:
    """What took up again what was killed there leaves on the disk, if nothing is kept but what is durable: of what had
    been done before it was killed, too."""
    first = trace.operations[:at]
    disk = Disk(trace.before)
    for one in first:
        disk.apply(one)
    data = trace.place / "again"
    data.mkdir(0o700)
    put(disk.picture(lambda change: 1), data)
    second = await followed("recover", trace.place, data)
    shutil.rmtree(data)
    both = traced.following(first, second)
    return states(disk, both, SEED, lambda how, synced: how == LOST and (synced or not around_syncs))


@pytest.mark.parametrize("trace", ["objection", "sweep"], indirect=True)
async def test_killed_before_its_file_is_gone_for_good_it_survives_a_power_cut(trace: Trace) -> None:
    """What takes it up again finds no file, and nobody has synced that yet."""
    *_, last = before_syncs(trace.operations, "vault/")
    assert trace.operations[last - 1].what == "unlink"
    assert await judge_all(await twice(trace, last, around_syncs=True), trace) > 5


@full
@each
async def test_killed_at_any_sync_and_taken_up_again_it_survives_a_power_cut(trace: Trace) -> None:
    for at in before_syncs(trace.operations):
        assert await judge_all(await twice(trace, at, around_syncs=False), trace) > 1
