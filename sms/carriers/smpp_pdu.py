"""The packets of SMPP 3.4 that an external entity sends and gets, from and to bytes. Pure; a peer is never trusted.

A packet that does not fit raises PduError, which names the field and the status to answer with (§5.1.3), and nothing
else does. Optional parameters are kept as they came, also those that nobody knows.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

HEADER = struct.Struct(">IIII")  # command_length, command_id, command_status, sequence_number (§3.2)
LARGEST = 72_000  # octets: the longest message_payload and all else that may stand beside it
SEQUENCE_LAST = 0x7FFFFFFF
RESPONSE = 0x80000000  # this bit of the command id

GENERIC_NACK = 0x80000000
BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER = 0x00000001, 0x00000002, 0x00000009
BINDS = frozenset({BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER})
SUBMIT_SM, DELIVER_SM, DATA_SM = 0x00000004, 0x00000005, 0x00000103
UNBIND, ENQUIRE_LINK, ALERT_NOTIFICATION = 0x00000006, 0x00000015, 0x00000102
_EMPTY = frozenset({GENERIC_NACK, UNBIND, UNBIND | RESPONSE, ENQUIRE_LINK, ENQUIRE_LINK | RESPONSE})
_GIVES_ID = frozenset({SUBMIT_SM | RESPONSE, DELIVER_SM | RESPONSE, DATA_SM | RESPONSE})

OK, INVALID_MESSAGE_LENGTH, INVALID_COMMAND_LENGTH, INVALID_COMMAND = 0x00, 0x01, 0x02, 0x03
INVALID_SOURCE, INVALID_DESTINATION, INVALID_TLV_STREAM, INVALID_TLV_LENGTH = 0x0A, 0x0B, 0xC0, 0xC2
INVALID_FIELD = 0x08  # ESME_RSYSERR: there is no status for most fields

Tlvs = tuple[tuple[int, bytes], ...]  # (tag, value), in the order in which they came


class PduError(ValueError):
    """`where`: the field that does not fit. `status`: what to answer. The header's values where it was readable."""

    def __init__(self, where: str, what: str, status: int = INVALID_FIELD) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.status = status
        self.command = 0
        self.sequence = 0


@dataclass(frozen=True, slots=True)
class Empty:
    """enquire_link, unbind, generic_nack and their responses: a header and nothing else."""


@dataclass(frozen=True, slots=True)
class Bind:
    """§4.1. The command says whether as receiver, transmitter or both."""

    system_id: str
    password: str = field(repr=False)
    system_type: str = ""
    version: int = 0x34
    address_ton: int = 0
    address_npi: int = 0
    address_range: str = ""


@dataclass(frozen=True, slots=True)
class BindResponse:
    """§4.1.2. `system_id`: the centre's own."""

    system_id: str = ""
    tlvs: Tlvs = ()


@dataclass(frozen=True, slots=True)
class Place:
    """An address as it is written in a packet: type of number, plan, characters (§5.2.5 to §5.2.9)."""

    ton: int
    npi: int
    characters: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """submit_sm and deliver_sm (§4.4.1, §4.6.1)."""

    source: Place
    destination: Place
    short_message: bytes = field(default=b"", repr=False)
    data_coding: int = 0
    esm_class: int = 0
    registered_delivery: int = 0
    validity_period: str = ""
    service_type: str = ""
    protocol_id: int = 0
    priority: int = 0
    schedule: str = ""
    replace: int = 0
    default_message: int = 0
    tlvs: Tlvs = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Data:
    """data_sm (§4.7.1): what it brings stands in message_payload."""

    source: Place
    destination: Place
    data_coding: int = 0
    esm_class: int = 0
    registered_delivery: int = 0
    service_type: str = ""
    tlvs: Tlvs = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Taken:
    """The response to a message. `message_id`: empty where there is none."""

    message_id: str = ""
    tlvs: Tlvs = ()


@dataclass(frozen=True, slots=True)
class Alert:
    """alert_notification (§4.12.1)."""

    source: Place
    entity: Place
    tlvs: Tlvs = ()


Body = Empty | Bind | BindResponse | Message | Data | Taken | Alert
EMPTY = Empty()


@dataclass(frozen=True, slots=True)
class Pdu:
    """One packet."""

    command: int
    sequence: int
    body: Body = EMPTY
    status: int = OK


def tlv(tlvs: Tlvs, tag: int) -> bytes | None:
    """The first of that tag."""
    for found, value in tlvs:
        if found == tag:
            return value
    return None


# --- to bytes ---------------------------------------------------------------------------------------------------------


def encode(pdu: Pdu) -> bytes:
    """Raises PduError where a field is longer than the protocol has room for."""
    body = _write(pdu.body)
    return HEADER.pack(16 + len(body), pdu.command, pdu.status, pdu.sequence) + body


def _write(body: Body) -> bytes:
    match body:
        case Message():
            if len(body.short_message) > 254:
                raise PduError("short_message", "longer than 254 octets", INVALID_MESSAGE_LENGTH)
            return b"".join((
                _text("service_type", body.service_type, 6),
                _place("source_addr", body.source),
                _place("destination_addr", body.destination),
                _octets(body.esm_class, body.protocol_id, body.priority),
                _text("schedule_delivery_time", body.schedule, 17),
                _text("validity_period", body.validity_period, 17),
                _octets(
                    body.registered_delivery,
                    body.replace,
                    body.data_coding,
                    body.default_message,
                    len(body.short_message),
                ),
                body.short_message,
                _tlvs(body.tlvs),
            ))  # fmt: skip
        case Taken():
            return _text("message_id", body.message_id, 65) + _tlvs(body.tlvs)
        case Empty():
            return b""
        case Bind():
            return b"".join((
                _text("system_id", body.system_id, 16),
                _text("password", body.password, _PASSWORD),
                _text("system_type", body.system_type, 13),
                _octets(body.version, body.address_ton, body.address_npi),
                _text("address_range", body.address_range, 41),
            ))  # fmt: skip
        case BindResponse():
            return _text("system_id", body.system_id, 16) + _tlvs(body.tlvs)
        case Data():
            return b"".join((
                _text("service_type", body.service_type, 6),
                _place("source_addr", body.source, 65),
                _place("destination_addr", body.destination, 65),
                _octets(body.esm_class, body.registered_delivery, body.data_coding),
                _tlvs(body.tlvs),
            ))  # fmt: skip
        case Alert():
            return _place("source_addr", body.source, 65) + _place("esme_addr", body.entity, 65) + _tlvs(body.tlvs)


_PASSWORD = 65  # the protocol has 9; more and more providers give longer ones


def _text(where: str, value: str, room: int) -> bytes:
    """A C-octet string; `room` counts its end."""
    try:
        written = value.encode("latin-1")
    except UnicodeEncodeError:
        raise PduError(where, "not writable in one octet a character") from None
    if len(written) >= room or b"\0" in written:
        raise PduError(where, f"longer than {room - 1} octets, or with a zero in it")
    return written + b"\0"


def _place(where: str, place: Place, room: int = 21) -> bytes:
    return _octets(place.ton, place.npi) + _text(where, place.characters, room)


def _octets(*values: int) -> bytes:
    try:
        return bytes(values)
    except ValueError:
        raise PduError("an octet", "not between 0 and 255") from None


def _tlvs(tlvs: Tlvs) -> bytes:
    if not tlvs:
        return b""
    try:
        return b"".join(struct.pack(">HH", tag, len(value)) + value for tag, value in tlvs)
    except struct.error:
        raise PduError("a TLV", "tag or length beyond 65535", INVALID_TLV_LENGTH) from None


# --- from bytes -------------------------------------------------------------------------------------------------------


def decode(packet: bytes) -> Pdu:
    """One whole packet. Raises PduError."""
    if len(packet) < 16:
        raise PduError("command_length", f"{len(packet)} octets are no packet", INVALID_COMMAND_LENGTH)
    length, command, status, sequence = HEADER.unpack_from(packet)
    try:
        if length != len(packet):
            raise PduError("command_length", f"{length}, but {len(packet)} octets came", INVALID_COMMAND_LENGTH)
        return Pdu(command, sequence, _read(command, packet), status)
    except PduError as error:
        error.command, error.sequence = command, sequence
        raise


def _read(command: int, packet: bytes) -> Body:
    reader = _Reader(packet)
    if command in _GIVES_ID:
        return Taken() if reader.at_end() else Taken(reader.text("message_id", 65), reader.tlvs())
    if command in (SUBMIT_SM, DELIVER_SM):
        return _read_message(reader)
    if command in _EMPTY:
        reader.end()
        return EMPTY
    if command & ~RESPONSE in BINDS:
        if not command & RESPONSE:
            return _read_bind(reader)
        return BindResponse() if reader.at_end() else BindResponse(reader.text("system_id", 16), reader.tlvs())
    if command == DATA_SM:
        service_type = reader.text("service_type", 6)
        source, destination = reader.place("source_addr", 65), reader.place("destination_addr", 65)
        esm_class, registered, coding = reader.octets("data_coding", 3)
        return Data(source, destination, coding, esm_class, registered, service_type, reader.tlvs())
    if command == ALERT_NOTIFICATION:
        return Alert(reader.place("source_addr", 65), reader.place("esme_addr", 65), reader.tlvs())
    raise PduError("command_id", f"0x{command:08X} is nothing that is asked of us", INVALID_COMMAND)


def _read_message(reader: _Reader) -> Message:
    service_type = reader.text("service_type", 6)
    source, destination = reader.place("source_addr"), reader.place("destination_addr")
    esm_class, protocol_id, priority = reader.octets("esm_class", 3)
    schedule = reader.text("schedule_delivery_time", 17)
    validity = reader.text("validity_period", 17)
    registered, replace, coding, default_message, length = reader.octets("sm_length", 5)
    if length > 254:
        raise PduError("sm_length", "more than 254", INVALID_MESSAGE_LENGTH)
    short_message = reader.octets("short_message", length, INVALID_MESSAGE_LENGTH)
    return Message(
        source, destination, short_message, coding, esm_class, registered, validity, service_type, protocol_id,
        priority, schedule, replace, default_message, reader.tlvs(),
    )  # fmt: skip


def _read_bind(reader: _Reader) -> Bind:
    system_id, password = reader.text("system_id", 16), reader.text("password", _PASSWORD)
    system_type = reader.text("system_type", 13)
    version, ton, npi = reader.octets("interface_version", 3)
    bind = Bind(system_id, password, system_type, version, ton, npi, reader.text("address_range", 41))
    reader.end()
    return bind


class _Reader:
    """What is left of a packet after its header."""

    __slots__ = ("_at", "_packet")

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self._at = 16

    def at_end(self) -> bool:
        return self._at == len(self._packet)

    def end(self) -> None:
        if not self.at_end():
            raise PduError("the body", "longer than this packet has", INVALID_COMMAND_LENGTH)

    def octets(self, where: str, count: int, status: int = INVALID_FIELD) -> bytes:
        taken = self._packet[self._at : self._at + count]
        if len(taken) != count:
            raise PduError(where, "the packet ends before it", status)
        self._at += count
        return taken

    def text(self, where: str, room: int, status: int = INVALID_FIELD) -> str:
        end = self._packet.find(b"\0", self._at, self._at + room)
        if end < 0:
            raise PduError(where, f"does not end within {room} octets", status)
        value = self._packet[self._at : end].decode("latin-1")
        self._at = end + 1
        return value

    def place(self, where: str, room: int = 21) -> Place:
        status = INVALID_DESTINATION if where == "destination_addr" else INVALID_SOURCE
        ton, npi = self.octets(where, 2, status)
        return Place(ton, npi, self.text(where, room, status))

    def tlvs(self) -> Tlvs:
        if self.at_end():
            return ()
        found = []
        while not self.at_end():
            tag, length = struct.unpack(">HH", self.octets("a TLV", 4, INVALID_TLV_STREAM))
            found.append((tag, self.octets(f"TLV 0x{tag:04X}", length, INVALID_TLV_LENGTH)))
        return tuple(found)


class Framer:
    """Bytes as they come, into whole packets. Of a length that cannot be, nothing after it can be read either."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The packets that are whole now. Raises PduError where the stream is lost; `packets` of it came before."""
        self._held += data
        whole: list[bytes] = []
        at = 0
        while len(self._held) - at >= 4:
            length = int.from_bytes(self._held[at : at + 4], "big")
            if not 16 <= length <= LARGEST:
                raise LostFramesError(whole, length)
            if len(self._held) - at < length:
                break
            whole.append(bytes(self._held[at : at + length]))
            at += length
        if at:
            del self._held[:at]
        return whole

    @property
    def held(self) -> int:
        """Octets of a packet that is not whole yet."""
        return len(self._held)


class LostFramesError(PduError):
    """`whole`: the packets that stood before."""

    def __init__(self, whole: list[bytes], length: int) -> None:
        super().__init__("command_length", f"{length} is no length of a packet", INVALID_COMMAND_LENGTH)
        self.whole = whole
