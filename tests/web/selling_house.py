"""A running portal that sends texts: a supervisor writes for `sales`, over a message centre that is another program."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from server.services import consents, inboxes
from server.services.actor import Actor
from server.services.context import open_services
from tests.peers.message_centre import MessageCentre, connect
from tests.web.portal import Portal, Somebody

SENDER = "+33162000001"
AGREED = [f"+3361234{n:04d}" for n in range(1, 6)]
NOBODY = "+33698765432"  # has agreed to nothing
ME = Actor("os:1000", "desk-7")


class Selling(Portal):
    """The supervisor writes for `sales` and sees what was sent; five people have agreed to advertising of telecom."""

    async def _house(self) -> dict[str, Somebody]:
        made = await super()._house()
        async with open_services(self.product.data) as services:
            await inboxes.add(services, ME, name="sales")
            await inboxes.member(services, ME, inbox="sales", login=made["supervisor"].login, sending=True)
            await inboxes.add_sender(
                services, ME, inbox="sales", address=SENDER, classes=["conversation", "marketing"],
                approved_by=made["dpo"].login,
            )  # fmt: skip
            for number in AGREED:  # an express consent for any hour: tests run on Sundays too
                await consents.add(
                    services, ME, number=number, purpose="telecom", channel="sms", act="checkbox", collector="us",
                    source="form", text_id="offers", text_version="1", text_sha256="ab" * 32, out_of_hours=True,
                )  # fmt: skip
        return made


@contextmanager
def selling(directory: Path, seed: tuple[Path, dict[str, Any]]) -> Iterator[tuple[Selling, MessageCentre]]:
    with MessageCentre(directory / "journal") as centre:
        made = Selling(directory / "product", seed)
        connect(made.product, centre)
        with made.product:
            made.wait_served()
            yield made, centre
