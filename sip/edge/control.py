"""The daemon's side of the edge: the event socket (questions and answers) and RPC (what the edge holds).

The edge outlives the daemon and the daemon outlives the edge: whoever comes back finds the other by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from sip.edge import netstring, protocol
from sip.edge.messages import Answered, MessageSender, NotSent, Sent
from sip.edge.protocol import (
    Answer,
    CertificateShown,
    EdgeEvent,
    EdgeRequest,
    MessageAnswered,
    Pong,
    Reply,
    TrunkAnswered,
    TrunkClosed,
    Welcome,
)
from sip.edge.rpc import RpcClient, RpcError
from sip.edge.state import Ban, Contact, Device, Dialog, EdgeState, RelayedCall
from sip.edge.trunks import Trunk, TrunkState, TrunkTable
from sip.edge.window import SendWindow

logger = logging.getLogger(__name__)

_BEAT_S = 1.0  # the edge refuses requests after EdgeTimers.control_silence_s without a beat
_WELCOME_TIMEOUT_S = 5.0
_DEAD_AFTER_S = 15.0  # no pong for so long: the connection is given up
_PROBE_S = 20.0  # between two questions to each provider
_CLOSED_PAUSE_S = 1.0  # a provider that closes each connection at once is not asked without end
_PROBES_A_REFRESH = 15  # then their names are looked up again
_RETRY_FIRST_S = 0.1
_RETRY_MAX_S = 2.0

_BROKEN = Reply(500, "Server Internal Error")


class _Detached(Exception):
    """The control connection has ended; the reason is for the log and holds nothing of a peer."""


class EdgeControl:
    """Attach to the edge, answer what it asks, and read and change what it holds.

    `on_request` decides on a suspended request; the edge waits EdgeTimers.answer_ms for it. It is cancelled when the
    connection ends, for then nobody waits any more. `on_event` is told what
    happened. `on_attach` is awaited after every attach: push devices and workers, clear the dialogs of workers that
    are gone. Until it has returned for the first time in the life of an edge, that edge refuses everybody with 503,
    rather than tell phones that their password is wrong.
    """

    def __init__(
        self,
        *,
        control_port: int,
        control_secret: str,
        rpc_socket: Path,
        on_request: Callable[[EdgeRequest], Awaitable[Answer]],
        on_event: Callable[[EdgeEvent], None],
        on_attach: Callable[[], Awaitable[None]],
        public_address: str = "",
        local_networks: tuple[str, ...] = (),
        probe_s: float = _PROBE_S,
    ) -> None:
        """`public_address` is shown to providers outside `local_networks` instead of our own; "" if there is none."""
        self._port = control_port
        self._secret = control_secret
        self._on_request = on_request
        self._on_event = on_event
        self._on_attach = on_attach
        self._rpc = RpcClient(rpc_socket)
        self._state = EdgeState(self._rpc)
        self._trunks = TrunkTable(self._rpc, control_secret, public_address, local_networks)
        self._messages = MessageSender(self._send_if_attached)
        self._probe_s = probe_s
        self._probe_now = asyncio.Event()
        self._probes_soon = False
        self._writer: asyncio.StreamWriter | None = None  # set from welcome to the end of that connection
        self._window = SendWindow()
        self._last_pong_s = 0.0  # loop time
        self.attached = asyncio.Event()  # set from the end of on_attach to the end of that connection

    async def run(self) -> None:
        """Stays attached until cancelled. Our end of RPC lies in the edge's directory, which comes and goes with it."""
        pause_s = _RETRY_FIRST_S
        while True:
            try:
                await self._rpc.open()
                await self._attach_once()
                pause_s = _RETRY_FIRST_S
            except (_Detached, OSError) as error:
                logger.debug("not attached to the edge: %s", type(error).__name__)
            finally:
                self._rpc.close()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _RETRY_MAX_S)

    async def _attach_once(self) -> None:
        """One connection from its first to its last byte. Returns once it was attached; raises if it never was."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        decoder = netstring.Decoder()
        try:
            writer.write(netstring.encode(protocol.hello(self._secret)))
            frames = await self._welcomed(reader, decoder)
            self._writer, self._window = writer, SendWindow()
            self._last_pong_s = asyncio.get_running_loop().time()
            logger.info("attached to the edge")
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beat(), name="edge beat")
                tasks.create_task(self._attach(), name="edge attach")
                tasks.create_task(self._probe(), name="edge trunks")
                await self._serve(reader, decoder, frames, tasks)
        except* (_Detached, OSError, netstring.FrameError) as group:
            if self._writer is None:
                raise _Detached from group
            logger.warning("detached from the edge")
        finally:
            self._writer = None
            self.attached.clear()
            writer.transport.abort()

    async def _welcomed(self, reader: asyncio.StreamReader, decoder: netstring.Decoder) -> list[bytes]:
        """Waits for the welcome. Returns the frames that came with it."""
        try:
            async with asyncio.timeout(_WELCOME_TIMEOUT_S):
                frames: list[bytes] = []
                while not frames:
                    frames = decoder.feed(await _some(reader))
        except TimeoutError:
            logger.warning("the edge did not take our secret: was it started with another data directory?")
            raise _Detached from None
        return frames

    async def _serve(
        self, reader: asyncio.StreamReader, decoder: netstring.Decoder, frames: list[bytes], tasks: asyncio.TaskGroup
    ) -> None:
        while True:
            for frame in frames:
                self._dispatch(frame, tasks)
            self._acknowledge_at_once()
            frames = decoder.feed(await _some(reader))

    def _acknowledge_at_once(self) -> None:
        """evapi leaves Nagle's algorithm on: a question behind another frame would wait 40 ms for our delayed ACK.
        Linux forgets TCP_QUICKACK with each segment (tcp(7))."""
        if self._writer is not None:
            connection = self._writer.get_extra_info("socket")
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _dispatch(self, frame: bytes, tasks: asyncio.TaskGroup) -> None:
        try:
            message = protocol.parse(frame)
        except protocol.MalformedFrame as error:
            logger.warning("the edge sent a malformed frame: %s", error)
            if (transaction := protocol.asked_transaction(frame)) is not None:
                self._send(protocol.answer(transaction, Reply(400, "Bad Request")))
            return
        match message:
            case EdgeRequest():
                tasks.create_task(self._decide(message), name="edge request")
            case Pong(number):
                self._last_pong_s = asyncio.get_running_loop().time()
                self._write(self._window.pong(number))
            case TrunkAnswered(trunk, code):
                if self._trunks.answered(trunk, code):
                    tasks.create_task(self._register(trunk), name="edge registration")
            case CertificateShown():
                tasks.create_task(self._judge(message), name="edge certificate")
            case TrunkClosed():
                if not self._probes_soon:
                    self._probes_soon = True
                    tasks.create_task(self._probe_soon(), name="edge trunk closed")
            case MessageAnswered():
                self._messages.answered(message)
            case Welcome():
                pass
            case _:
                self._tell(message)

    def _tell(self, event: EdgeEvent) -> None:
        try:
            self._on_event(event)
        except Exception:  # the daemon's fault with one event must not cut off the edge
            logger.exception("handling an event of the edge failed")

    async def _decide(self, request: EdgeRequest) -> None:
        """One question. Whatever goes wrong, the edge gets an answer."""
        try:
            frame = protocol.answer(request.transaction, await self._on_request(request))
        except Exception:  # whatever the fault, the caller hears an answer
            logger.exception("deciding on a request failed")
            frame = protocol.answer(request.transaction, _BROKEN)
        self._send(frame)

    async def _attach(self) -> None:
        try:
            await self._on_attach()
            await self._state.mark_ready()
        except RpcError as error:
            logger.warning("the edge could not be told its state: %s", error)
            raise _Detached from None
        self.attached.set()

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._write(self._window.ping())
            await asyncio.sleep(_BEAT_S)
            if loop.time() - self._last_pong_s > _DEAD_AFTER_S:
                logger.warning("the edge has not answered for %d s", int(_DEAD_AFTER_S))
                raise _Detached

    async def _judge(self, shown: CertificateShown) -> None:
        """Whose certificate a provider has shown. Where it is its own, it is asked again, and then counts."""
        with contextlib.suppress(RpcError):
            if await self._trunks.judge(shown.mark, shown.digest, shown.pem):
                self._probe_now.set()

    async def _probe_soon(self) -> None:
        try:
            await asyncio.sleep(_CLOSED_PAUSE_S)
        finally:
            self._probes_soon = False
        self._probe_now.set()

    async def _register(self, trunk_id: str) -> None:
        with contextlib.suppress(RpcError):
            await self._trunks.register(trunk_id)

    async def _probe(self) -> None:
        """Asks each provider now and then whether it is there."""
        rounds = 0
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._probe_s):
                    await self._probe_now.wait()
            self._probe_now.clear()
            rounds += 1
            for trunk_id in self._trunks.ids:
                self._trunks.asking(trunk_id)
                self._send(protocol.probe(trunk_id))
            if rounds % _PROBES_A_REFRESH == 0:
                with contextlib.suppress(RpcError):
                    await self._trunks.refresh()

    def _send(self, payload: bytes) -> None:
        self._write(self._window.send(payload))

    def _send_if_attached(self, payload: bytes) -> bool:
        if self._writer is None:
            return False
        self._send(payload)
        return True

    def _write(self, data: bytes) -> None:
        if data and self._writer is not None:
            self._writer.write(data)

    # --- what the edge holds; every method raises RpcError when the edge cannot be asked ---

    async def push_device(self, auth_user: str, account: str, ha1: str, account_id: str = "") -> None:
        """Lets this device sign on as itself or as its account. `ha1`: 32 lower-case hex digits (RFC 7616 3.4.2)."""
        await self._state.push_device(Device(auth_user, account, ha1, account_id=account_id))

    async def replace_devices(self, devices: Iterable[Device]) -> None:
        """These devices and no others. Contacts of devices that are gone are removed."""
        await self._state.replace_devices(devices)

    async def drop_device(self, auth_user: str) -> None:
        """Refuses this device from now on and forgets where it is."""
        await self._state.drop_device(auth_user)

    async def refuse_device(self, auth_user: str) -> None:
        """Signs this device off. It stays known, for emergency calls alone."""
        await self._state.refuse_device(auth_user)

    async def allow_worker(self, port: int) -> None:
        """Takes requests from, and hands calls to, the worker on this loopback port."""
        await self._state.allow_worker(port)

    async def forget_worker(self, port: int) -> None:
        await self._state.forget_worker(port)

    async def replace_workers(self, ports: Iterable[int]) -> None:
        """These worker ports and no others."""
        await self._state.replace_workers(ports)

    async def push_trunk(self, trunk: Trunk) -> None:
        """Adds or changes a trunk: calls may go out and come in, and it is registered if it is to be. Credentials lie
        in the edge's memory only. Raises ValueError for one that cannot be carried."""
        await self._trunks.push(trunk)
        self._probe_now.set()

    async def drop_trunk(self, trunk_id: str) -> None:
        """No call passes there any more; calls that go on do."""
        await self._trunks.drop(trunk_id)

    async def replace_trunks(self, trunks: Iterable[Trunk]) -> None:
        """These trunks and no others; to be called at each attach. Raises ValueError."""
        await self._trunks.replace(trunks)
        self._probe_now.set()

    async def trunk_states(self) -> dict[str, TrunkState]:
        """How each trunk does, by id."""
        return await self._trunks.states()

    async def push_emergency(
        self,
        numbers: Iterable[str],
        trunks: Iterable[str],
        prefixes: Iterable[str] = (),
        presented: Mapping[str, str] | None = None,
        discreet: Iterable[str] = (),
    ) -> None:
        """What the edge needs to let emergency calls through, and to relay them alone when the daemon is silent.

        `numbers` as a provider is asked for them; they count as dialled also behind each of `prefixes`. `trunks`: ids,
        in the order they are tried. `presented`: by trunk id, the number shown in From when the edge relays alone;
        without one the trunk's user. `discreet`: of calls to these numbers nothing is kept. Raises ValueError.
        """
        dialled = {prefix + number: number for number in numbers for prefix in ("", *prefixes)}
        await self._state.push_emergency(dialled, tuple(trunks), presented or {}, frozenset(discreet))

    async def relayed_calls(self) -> list[RelayedCall]:
        """Emergency calls that the edge has relayed by itself and was not yet told to forget, oldest first. Those that
        go on stay: their end is still to be asked for."""
        return await self._state.relayed_calls()

    async def forget_relayed(self, key: str) -> None:
        """This one is written down, and those who are to know were told."""
        await self._state.forget_relayed(key)

    async def send_message(self, auth_user: str, text: str) -> bool:
        """A short message to every contact of this device, from sip:beffroi@domain. True when one has taken it.
        Raises ValueError for a text that is too long."""
        if len(text.encode()) > protocol.MESSAGE_MAX_BYTES:
            raise ValueError(f"a short message has {protocol.MESSAGE_MAX_BYTES} bytes at most")
        every = [self.send_text(contact, text) for contact in await self.contacts(auth_user)]
        return any(isinstance(sent, Answered) and sent.taken for sent in await asyncio.gather(*every))

    async def send_text(self, contact: Contact, text: str, sender: str = "beffroi") -> Sent:
        """A text to one contact. `sender`: user part of From, which the phone can answer to. Raises ValueError for what
        cannot be carried."""
        return await self._messages.to_contact(contact, text, sender)

    async def send_text_by_trunk(self, trunk_id: str, to: str, sender: str, text: str) -> Sent:
        """A text to a number outside. `to`, `sender`: as this provider wants them written. Raises ValueError for what
        cannot be carried."""
        trunk = self._trunks.get(trunk_id)
        return await self._messages.by_trunk(trunk, to, sender, text) if trunk is not None else NotSent()

    async def dialog_tags(self, call_id: str) -> tuple[str, str] | None:
        """The tags of From and To in the INVITE of this call leg; None when there is none that was answered."""
        dialog = await self._state.dialog(call_id)
        return dialog.tags if dialog is not None and dialog.tags[1] else None

    async def contacts(self, auth_user: str) -> list[Contact]:
        """Where this device is registered now."""
        return await self._state.contacts(auth_user)

    async def registrations(self) -> dict[str, list[Contact]]:
        """Every registered device with its contacts."""
        return await self._state.registrations()

    async def dialogs(self) -> list[Dialog]:
        """Every call leg that the edge still carries."""
        return await self._state.dialogs()

    async def end_dialog(self, call_id: str, cause: int = 503, text: str = "Call interrupted") -> bool:
        """BYE to both sides of an answered leg (with Reason, RFC 3326). False when there is none."""
        return await self._state.end_dialog(call_id, cause, text)

    async def cancel(self, call_id: str) -> bool:
        """CANCEL to every phone that rings for this INVITE of a worker. False when there is none."""
        return await self._state.cancel(call_id)

    async def reply_pending(self, call_id: str, code: int, reason: str) -> bool:
        """Answers the INVITE of a phone that no worker has answered. False when there is none."""
        dialog = await self._state.dialog(call_id)
        if dialog is None or dialog.state != "early":
            return False
        self._send(protocol.pending(call_id, dialog.cseq, code, reason))
        return True

    async def clear(self, dialog: Dialog) -> bool:
        """Ends a leg in whatever state it is, as if its worker had. False when it is already gone."""
        if dialog.state == "confirmed":
            return await self.end_dialog(dialog.call_id)
        if dialog.began == "worker":
            return await self.cancel(dialog.call_id)
        return await self.reply_pending(dialog.call_id, 503, "Service Unavailable")

    async def bans(self) -> list[Ban]:
        """Who is banned now, why and until when."""
        return await self._state.bans()

    async def lift_ban(self, source: str) -> bool:
        """Ends a ban and forgets what led to it. False when there was none."""
        return await self._state.lift_ban(source)


async def _some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(65536)
    if not data:
        raise _Detached
    return data
