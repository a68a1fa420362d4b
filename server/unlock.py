"""The command line's way into a listening room: through the running daemon, or one of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from recording.room_messages import HungUp
from recording.room_terminal import RoomRefused
from server.client import Asking, actor_here, connected, send_request
from server.failure import Failure

_REFUSALS = {
    "credentials": (
        "passphrase or code is wrong",
        "Try again; after five wrong ones it is locked for a while",
        "denied",
    ),
    "keys": ("this reader's key does not open it", "Another reader of that purpose, or escrow, opens it", "denied"),
    "integrity": ("the file is missing, or not what was sealed", "Type: beffroi recordings verify", "damaged"),
    "denied": ("that code was used before, or too many were wrong", "Wait for the next code", "denied"),
}


@contextmanager
def room(asking: Asking, op: Literal["unlock", "secure", "read"] = "unlock", **wanted: Any) -> Iterator[socket.socket]:
    """The terminal's end of a room that is about to ask: to listen, to secure what is held, to read. Raises Failure,
    also for what the room refuses."""
    try:
        with connected(asking.data) as connection:
            if connection is not None:
                send_request(connection, asking, op, wanted)
                yield connection
                return
        with _own_room(asking, op, wanted) as terminal:
            yield terminal
    except RoomRefused as refused:
        what, remedy, code = _REFUSALS.get(refused.why, ("it stays closed", "Try again", "failed"))
        raise Failure(what, remedy, code) from None
    except HungUp:
        raise Failure("the listening room ended", "Try again; beffroi ledger show tells more", "unavailable") from None


@contextmanager
def _own_room(asking: Asking, op: str, wanted: dict[str, Any]) -> Iterator[socket.socket]:
    """Without the daemon: this process holds the data directory while the room is open."""
    ours, theirs = socket.socketpair()
    permitted = threading.Event()
    failure: list[BaseException] = []

    def work() -> None:
        try:
            asyncio.run(_serve(asking, op, wanted, theirs, permitted))
        except BaseException as error:  # noqa: BLE001 - carried to the thread that waits for it
            failure.append(error)
        finally:
            theirs.close()
            permitted.set()

    thread = threading.Thread(target=work, name="listening room")
    thread.start()
    try:
        permitted.wait()
        if failure:
            raise failure[0]
        with ours:
            yield ours
    finally:
        ours.close()
        thread.join()
    if failure:
        raise failure[0]


async def _serve(
    asking: Asking, op: str, wanted: dict[str, Any], terminal: socket.socket, permitted: threading.Event
) -> None:
    from server.services import listening, operations, securing, text_rooms
    from server.services.context import open_services
    from server.services.failures import told

    with told():
        async with open_services(asking.data, wait_s=5.0) as services:
            actor = actor_here(asking)
            if op == "read":
                to_read = operations.check_arguments(text_rooms.permit, op, wanted)
                reading = await text_rooms.permit(services, actor, **to_read)
                permitted.set()
                await text_rooms.serve(services, actor, reading, terminal.fileno())
                return
            permit = securing.permit if op == "secure" else listening.permit
            granted = await permit(services, actor, **operations.check_arguments(permit, op, wanted))
            permitted.set()
            await listening.serve(services, actor, granted, terminal.fileno())
