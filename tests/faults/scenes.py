"""What is destroyed in a process that is traced: an objection, a sweep. Each is set up, and then done as the daemon
does it, by the product's own services."""

from __future__ import annotations

import asyncio
import dataclasses
import secrets
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from recording import keys as key_tools
from server.call_book import DatabaseCallBook
from server.services import erasure
from server.services import holds as hold_service
from server.services.actor import Actor
from server.services.context import Services, open_services
from server.services.held_keys import HeldKeys
from storage import keys, people, readers
from storage.keys import KekWrap
from storage.readers import EscrowKey, ReaderKey
from tests.faults import house
from tests.faults.house import DAY, Facts, facts_from
from tests.server.recording_house import act, plan

DPO = Actor("os:0", "here", "a case at court", "A-17")
Act = Callable[[Services, Facts], Awaitable[None]]


@dataclass(frozen=True)
class Scene:
    prepare: Callable[[Services], Awaitable[Facts]]
    act: Act


async def _objected(services: Services) -> Facts:
    """A call is recorded; and its recorder has died, or there would be two processes to follow."""
    call = plan()
    seqs = [await DatabaseCallBook(services.db).note(call, act(leg), services.clock()) for leg in ("a", "b0")]
    runs = await house.recording(services, 90 * DAY, goes=True, call_id=call.call_id, seqs=seqs, growing=True)
    other = await house.recording(services, 90 * DAY, goes=False)
    return Facts([runs, other], call_id=call.call_id)


async def object_(services: Services, facts: Facts) -> None:
    """Key *2: an entry of the consent log, then the gate."""
    call = dataclasses.replace(plan(), call_id=facts.call_id)
    rec_id = facts.recordings[0].rec_id
    seq = await DatabaseCallBook(services.db).note(call, act("a", "objection", "2"), services.clock(), rec_id)
    await house.destruction(services).on_objection(rec_id, seq, services.clock())


async def _expired(services: Services) -> Facts:
    """Three recordings have expired, one of them under a legal hold; three calls; and something stays of each."""
    kept = [await house.recording(services, length, goes=goes) for length, goes in ((DAY, False), (-DAY, False))]
    gone = [await house.recording(services, -length * DAY, goes=True) for length in (1, 2)]
    calls = [await house.call(services, -DAY) for _ in range(3)]
    await house.call(services, DAY)
    async with services.db.transaction() as tx:
        await people.add(tx, "dora", "Dora", services.clock(), roles=("dpo",))
    laid = await hold_service.add(
        services, DPO, scope="recording", named=kept[1].rec_id, requested_by="the court", approved_by="dora",
        review=(services.clock() + 200 * DAY).date(),
    )  # fmt: skip
    ids, marks = zip(*calls, strict=True)
    return Facts([*kept, *gone], calls=list(ids), call_marks=list(marks), hold_id=laid.id)


async def sweep(services: Services, facts: Facts) -> None:
    said = await house.sweeper(services).sweep()
    assert said is not None and said.problem == "", said


async def _to_be_secured(services: Services) -> Facts:
    """A recording has expired, a legal hold keeps it, and the week of its key is long over."""
    known = await house.recording(services, -DAY, goes=False, week_ends_in=-80 * DAY)
    public, _ = key_tools.generate_reader()
    escrow, _ = key_tools.escrow_pair(key_tools.new_escrow_seed())
    now, alg = services.clock(), key_tools.algorithm(public)
    kek_mark = secrets.token_bytes(16)
    async with services.db.transaction() as tx:
        await people.add(tx, "dora", "Dora", now, roles=("dpo",))
        rita = await people.add(tx, "rita", "Rita", now, roles=("reader",))
        await readers.set_key(tx, ReaderKey(rita.id, alg, public, b"sealed", now))
        await readers.grant(tx, rita.id, "REC_QUALITY", "quickstart", now)
        await readers.set_escrow(tx, EscrowKey(alg, escrow, now))
        kek_id = (await keys.rec_key(tx, known.rec_id)).kek_id
        await keys.add_kek_wrap(tx, KekWrap(kek_id, rita.id, alg, kek_mark * 70))
    laid = await hold_service.add(
        services, DPO, scope="recording", named=known.rec_id, requested_by="the court", approved_by="dora",
        review=(now + 200 * DAY).date(),
    )  # fmt: skip
    return Facts(
        [known], hold_id=laid.id, person_id=rita.id, kek_id=kek_id, kek_mark=kek_mark.hex(),
        held_mark=secrets.token_hex(16),
    )  # fmt: skip


async def secure(services: Services, facts: Facts) -> None:
    """What the daemon does while a room wraps; and the sweep after it, which lets the week's key go."""
    held = HeldKeys(services, facts.person_id, facts.hold_id, None)
    while some := await held.batch():
        await held.keep({(one.rec_id, one.hold_id): house.wrap_of(bytes.fromhex(facts.held_mark)) for one in some})
    await sweep(services, facts)


SCENES: Mapping[str, Scene] = {
    "objection": Scene(_objected, object_),
    "sweep": Scene(_expired, sweep),
    "secure": Scene(_to_be_secured, secure),
}


async def recover(services: Services) -> None:
    """As the daemon does at its start, and a minute after."""
    await house.desk(services).recover()
    async with services.erasing:
        await erasure.resume(services)
    said = await house.sweeper(services).sweep()
    assert said is not None and said.problem == "", said


async def _main(name: str, data: Path, facts: Facts) -> None:
    async with open_services(data) as services:
        await (recover(services) if name == "recover" else SCENES[name].act(services, facts))


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], Path(sys.argv[2]), facts_from(Path(sys.argv[3]).read_text())))
