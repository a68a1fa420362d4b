"""The queue, the intake and an SMPP carrier as a process that is killed: the product's own parts on a database file.

    python -m tests.peers.text_engine DIRECTORY PORT

It loads everything once. Then each line of stdin, a number, begins a life: a fork that opens the database, takes up
what the last one left, adds so many texts, and serves until it is killed. Its pid is printed, then "up" when it serves,
and "gone" when it has ended. "quiet" begins a life that adds nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sms.carriers.smpp import SmppCarrier
from sms.carriers.smpp_settings import SmppSettings
from sms.inbound import Arrived, Intake, Periods
from sms.outbound import Outbox, Stay
from sms.reading import Reading
from sms.routing import Route
from storage import inboxes, keys, sms_sent
from storage.database import Database, sqlite_url
from storage.field_crypto import FieldKeys
from storage.inboxes import Inbox, Sender
from storage.keys import Kek
from storage.sms_sent import NewText, Queued
from storage.tx import Tx

HIS = "+33612345678"


def now() -> datetime:
    return datetime.now(UTC)


class Anybody:
    """Everything may go."""

    async def stays(self, tx: Tx, texts: Sequence[Queued], at: datetime) -> Mapping[str, Stay]:
        return {}


class Silent:
    """Nothing is answered by itself."""

    def text(self, kind: str, language: str) -> str:
        return ""

    def prepared(
        self, words: str, *, inbox: Inbox, sender: Sender, recipient: str, author: str, now: datetime
    ) -> NewText:
        raise AssertionError("nothing is answered")


class Keks:
    """The KEKs that are there."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def current(self, purpose: str, at: datetime) -> Kek:
        async with self._database.read() as tx:
            kek = await keys.current_kek(tx, purpose, at)
        assert kek is not None
        return kek


def numbered(inbox_id: str, sender_id: str, words: str) -> NewText:
    at = now()
    return NewText(
        inbox_id=inbox_id, sender_id=sender_id, author_id="system", recipient=HIS, texts=(words,), coding="gsm7",
        reference=1, message_class="conversation", purpose="SMS_CONVERSATION", legal_basis="x", due_at=at,
        valid_until=at + timedelta(days=1), content_until=at + timedelta(days=30), expires_at=at + timedelta(days=90),
    )  # fmt: skip


async def live(directory: Path, port: int, life: str, count: int) -> None:
    field_keys = FieldKeys.from_json((directory / "field.key").read_bytes())
    database = await Database.open(sqlite_url(directory / "texts.sqlite3"), field_keys)
    async with database.read() as tx:
        box = await inboxes.by_name(tx, "sales")
        [sender] = await inboxes.senders(tx, inbox_id=box.id)

    class Desk:
        async def received(self, carrier: str, part: object) -> None:
            await intake.received(carrier, part)  # type: ignore[arg-type]

        async def receipt(self, carrier: str, receipt: object) -> None:
            await outbox.receipt(carrier, receipt)  # type: ignore[arg-type]

    settings = SmppSettings(
        name="one", host="127.0.0.1", port=port, system_id="beffroi", password="secret", country="FR", retry_s=0.02,
        retry_most_s=0.1, response_s=5,
    )  # fmt: skip
    carrier = SmppCarrier(settings, Desk(), now=now, dice=random.Random(life))  # noqa: S311

    async def told(_: Arrived) -> None: ...

    outbox = Outbox(database, [(carrier, Route("one"))], Anybody(), now)
    month = timedelta(days=30)
    periods = Periods(lambda at: at + month, lambda at: at + month, lambda at: at + month, timedelta())
    intake = Intake(database, Keks(database), lambda _: Reading(), Silent(), periods, now, on_arrived=told,
                    on_queued=outbox.wake)  # fmt: skip
    await outbox.recover()
    async with asyncio.TaskGroup() as tasks:
        for part in (outbox.run, intake.run, carrier.run):
            tasks.create_task(part())
        print("up", flush=True)
        for number in range(count):
            async with database.transaction() as tx:
                await sms_sent.add_all(tx, [numbered(box.id, sender.id, f"text {life}.{number}")], now())
            outbox.wake()
            await asyncio.sleep(0.004)


def main() -> None:
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    for life, line in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            count = 0 if line.strip() == "quiet" else int(line)
            asyncio.run(live(directory, port, str(life), count))
            os._exit(0)
        print(json.dumps({"pid": pid}), flush=True)
        os.waitpid(pid, 0)
        print("gone", flush=True)


if __name__ == "__main__":
    main()
