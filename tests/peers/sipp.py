"""SIPp, a SIP load generator that is not ours: callers with digest authentication, callees, and A-law tones both ways.

Scenarios are XML texts made here from a few parts, so that every caller of this module gets digest, Record-Route and
RTP right. One `Sipp` is one process; it is bounded by `timeout` and by its number of calls.
"""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.peers import tones
from tests.peers.ports import Ports

HEAD = '<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="{name}">\n'

SDP = """\
v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=sendrecv
"""


@dataclass(frozen=True, slots=True)
class Caller:
    """One line of SIPp's injection file."""

    user: str
    domain: str
    auth_user: str
    password: str
    to: str
    """User part of the request URI."""


def request(method: str, uri: str, cseq: int, *, auth: bool = False, body: str = "", extra: str = "") -> str:
    """A request of the caller; [field0] user, [field1] domain, [field2] auth user and password, [field3] callee."""
    dialog = uri == "[next_url]"
    lines = [
        f"{method} {uri} SIP/2.0",
        "Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=[branch]",
        *(["[routes]"] if dialog else []),
        "From: <sip:[field0]@[field1]>;tag=[pid]c[call_number]",
        "[last_To:]" if dialog else "To: <sip:[field3]@[field1]>",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        "Contact: <sip:[field0]@[local_ip]:[local_port];transport=[transport]>",
        *(["[field2]"] if auth else []),
        "Max-Forwards: 70",
        *([extra] if extra else []),
        *(["Content-Type: application/sdp"] if body else []),
        "Content-Length: [len]" if body else "Content-Length: 0",
    ]
    text = "\n".join(lines) + "\n\n" + body
    return text


def send(text: str, *, attributes: str = 'retrans="500"') -> str:
    return f"<send {attributes}><![CDATA[\n{text}\n]]></send>\n"


def stream(path: Path) -> str:
    """Sends raw A-law in packets of 20 ms until the call ends."""
    return f'<nop><action><exec rtp_stream="{path},-1,8,PCMA/8000"/></action></nop>\n'


def refused_ack() -> str:
    text = request("ACK", "sip:[field3]@[field1]", 1).replace("To: <sip:[field3]@[field1]>", "[last_To:]")
    return send(text, attributes="")


def caller(audio: Path | None, *, talk_ms: int, challenged: int = 407, wait_for_bye: bool = False) -> str:
    """INVITE, digest, 200, ACK, a tone for `talk_ms`, BYE (or: stays until the other side says BYE).

    `challenged` 0: the callee asks for no credentials (it is no server).
    """
    challenge = [
        send(request("INVITE", "sip:[field3]@[field1]", 1)),
        f'<recv response="100" optional="true"/>\n<recv response="{challenged}" auth="true"/>\n',
        refused_ack(),
    ]
    invite = request("INVITE", "sip:[field3]@[field1]", 2, auth=bool(challenged), body=SDP)
    steps = [
        HEAD.format(name="caller"),
        *(challenge if challenged else []),
        send(invite, attributes='retrans="500" start_rtd="1"'),
        "".join(f'<recv response="{code}" optional="true"/>\n' for code in (100, 180, 183)),
        '<recv response="200" rrs="true" rtd="1"/>\n',
        send(request("ACK", "[next_url]", 2), attributes=""),
        stream(audio) if audio else "",
    ]
    if wait_for_bye:
        steps += ['<recv request="BYE"/>\n', send(reply("200 OK", contact=False), attributes="")]
    else:
        steps += [
            f'<pause milliseconds="{talk_ms}"/>\n',
            send(request("BYE", "[next_url]", 3)),
            '<recv response="200"/>\n',
        ]
    return "".join(steps) + "</scenario>\n"


def reply(status: str, *, contact: bool = True, body: str = "") -> str:
    lines = [
        f"SIP/2.0 {status}",
        "[last_Via:]",
        "[last_Record-Route:]",
        "[last_From:]",
        "[last_To:];tag=[pid]u[call_number]" if contact else "[last_To:]",
        "[last_Call-ID:]",
        "[last_CSeq:]",
        *(["Contact: <sip:sipp@[local_ip]:[local_port];transport=[transport]>"] if contact else []),
        *(["Content-Type: application/sdp"] if body else []),
        "Content-Length: [len]" if body else "Content-Length: 0",
    ]
    return "\n".join(lines) + "\n\n" + body


def callee(audio: Path | None, *, ring_ms: int = 0) -> str:
    """180, 200 after `ring_ms`, a tone until BYE."""
    return "".join(
        [
            HEAD.format(name="callee"),
            '<recv request="INVITE" rrs="true"/>\n',
            send(reply("180 Ringing"), attributes=""),
            f'<pause milliseconds="{ring_ms}"/>\n' if ring_ms else "",
            send(reply("200 OK", body=SDP)),
            '<recv request="ACK"/>\n',
            stream(audio) if audio else "",
            '<recv request="BYE"/>\n',
            send(reply("200 OK", contact=False), attributes=""),
            "</scenario>\n",
        ]
    )


def media_line(sdp: str, payload: int, rtpmap: str) -> str:
    """The SDP with this codec instead of A-law."""
    return sdp.replace("RTP/AVP 8 101", f"RTP/AVP {payload}").replace(
        "rtpmap:8 PCMA/8000", f"rtpmap:{payload} {rtpmap}"
    )


OPUS_ONLY = media_line(SDP, 111, "opus/48000/2")
"""An answer that names a codec which nobody offered (and, as an offer, one that few have)."""
G729_ONLY = media_line(SDP, 18, "G729/8000")
ELSEWHERE = SDP.replace("c=IN IP4 [media_ip]", "c=IN IP4 [local_ip]")
"""With another media address than -i: the SDP names [local_ip], the audio comes from [media_ip], same port."""


def huge(sdp: str, size_bytes: int) -> str:
    """The same with so many attributes that nobody needs."""
    line = "a=x-nothing:" + 60 * "x" + "\n"
    return sdp + line * (size_bytes // len(line))


def answering(
    audio: Path | None,
    sdp: str = SDP,
    *,
    ring_ms: int = 0,
    gone: Literal["", "before-bye", "deaf"] = "",
    talk_ms: int = 0,
) -> str:
    """A callee that answers with this SDP, sounds a tone and waits for BYE.

    `gone`: "before-bye" ends after `talk_ms` without a word (its BYE is lost); "deaf" hears the BYE and answers none.
    """
    steps = [
        HEAD.format(name="answering"),
        '<recv request="INVITE" rrs="true"/>\n',
        send(reply("180 Ringing"), attributes=""),
        f'<pause milliseconds="{ring_ms}"/>\n' if ring_ms else "",
        send(reply("200 OK", body=sdp)),
        '<recv request="ACK"/>\n',
        stream(audio) if audio else "",
    ]
    if gone == "before-bye":
        steps.append(f'<pause milliseconds="{talk_ms}"/>\n')
    else:
        steps.append('<recv request="BYE"/>\n')
    if not gone:
        steps.append(send(reply("200 OK", contact=False), attributes=""))
    return "".join(steps) + "</scenario>\n"


def early_media(audio: Path, *, sound_ms: int) -> str:
    """183 with SDP and a tone for `sound_ms`, then neither sound nor answer; ends when it is cancelled."""
    cseq = '<action><ereg regexp="[0-9]+" search_in="hdr" header="CSeq:" assign_to="cseq"/></action>'
    cancelled = reply("487 Request Terminated").replace("[last_CSeq:]", "CSeq: [$cseq] INVITE")
    return "".join(
        [
            HEAD.format(name="early media"),
            f'<recv request="INVITE" rrs="true">{cseq}</recv>\n',
            send(reply("183 Session Progress", body=SDP), attributes=""),
            stream(audio),
            f'<pause milliseconds="{sound_ms}"/>\n',
            '<nop><action><exec rtp_stream="pause"/></action></nop>\n',
            '<recv request="CANCEL"/>\n',
            send(reply("200 OK", contact=False), attributes=""),
            send(cancelled),
            '<recv request="ACK"/>\n</scenario>\n',
        ]
    )


def register(*, expires_s: int = 300) -> str:
    """Registers each line of the injection file once: contact is this process's own address."""
    to_self = "To: <sip:[field0]@[field1]>"
    first = request("REGISTER", "sip:[field1]", 1, extra=f"Expires: {expires_s}")
    second = request("REGISTER", "sip:[field1]", 2, auth=True, extra=f"Expires: {expires_s}")
    return "".join(
        [
            HEAD.format(name="register"),
            send(first.replace("To: <sip:[field3]@[field1]>", to_self)),
            '<recv response="401" auth="true"/>\n',
            send(second.replace("To: <sip:[field3]@[field1]>", to_self)),
            '<recv response="200"/>\n</scenario>\n',
        ]
    )


class SippError(AssertionError):
    """SIPp saw calls fail, or did not end in time; the message holds its error file's end."""


@dataclass(frozen=True, slots=True)
class Result:
    """SIPp's own count at the end."""

    succeeded: int
    failed: int
    setup_ms: tuple[float, ...]
    """INVITE with credentials to 200, a call (scenario `caller`)."""


class Sipp:
    """One SIPp process. `start`, then `finish`; or use as a context manager, which kills what is still running."""

    def __init__(
        self,
        directory: Path,
        ports: Ports,
        scenario: str,
        remote: str = "",
        *,
        callers: Iterable[Caller] = (),
        calls: int = 1,
        rate: float = 1.0,
        at_once: int = 1000,
        transport: str = "u1",
        timeout_s: int = 60,
        sip_port: int = 0,
        trace: bool = False,
        media_address: str = "127.0.0.1",
    ) -> None:
        """`remote` "ip:port" for callers; empty for a callee. `rate` in calls a second; `at_once` bounds open calls.

        `media_address`: where its audio comes from. `trace`: every message goes to messages.log, with its time to the
        microsecond.
        """
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.timeout_s = directory, timeout_s
        self.sip_port = sip_port or ports.take()
        self.media_first = ports.take(4 * min(at_once, calls) + 4, even=True)
        (directory / "scenario.xml").write_text(scenario)
        self._command = [
            "sipp", "-sf", "scenario.xml", "-i", "127.0.0.1", "-mi", media_address, "-p", str(self.sip_port),
            "-t", transport, "-m", str(calls), "-r", f"{rate:g}", "-l", str(at_once), "-nostdin", "-skip_rlimit", "-aa",
            "-mp", str(self.media_first), "-cp", str(ports.take()), "-timeout", f"{timeout_s}s", "-timeout_error",
            "-trace_err", "-error_file", "errors.log", "-trace_stat", "-stf", "stat.csv",
            "-trace_rtt", "-rtt_freq", "1",
        ]  # fmt: skip
        if trace:
            self._command += ["-trace_msg", "-message_file", "messages.log"]
        lines = [
            f"{c.user};{c.domain};[authentication username={c.auth_user} password={c.password}];{c.to}" for c in callers
        ]
        if lines:
            (directory / "callers.csv").write_text("SEQUENTIAL\n" + "\n".join(lines) + "\n")
            self._command += ["-inf", "callers.csv"]
        if remote:
            self._command.append(remote)

    def start(self) -> Self:
        with (self.directory / "output.log").open("wb") as log:
            self.process = subprocess.Popen(
                self._command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    def finish(self, *, check: bool = True) -> Result:
        """Waits for the end. Raises SippError if a call failed and `check`."""
        try:
            code = self.process.wait(self.timeout_s + 10)
        except subprocess.TimeoutExpired:
            self.stop()
            raise SippError(f"SIPp did not end: {self._errors()}") from None
        result = self._result()
        if check and (code or result.failed):
            raise SippError(f"SIPp ended with {code}, {result}: {self._errors()}")
        return result

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _result(self) -> Result:
        stat = self.directory / "stat.csv"
        rows = list(csv.DictReader(stat.open(), delimiter=";")) if stat.exists() else []
        last = rows[-1] if rows else {}
        times = [
            float(row.split(";")[1])
            for path in self.directory.glob("*_rtt.csv")
            for row in path.read_text().splitlines()[1:]
            if re.match(r"[\d.]+;[\d.]+;", row)
        ]
        return Result(int(last.get("SuccessfulCall(C)", 0)), int(last.get("FailedCall(C)", 0)), tuple(times))

    def _errors(self) -> str:
        files = [self.directory / "errors.log", self.directory / "output.log"]
        return "\n".join(path.read_text(errors="replace")[-1500:] for path in files if path.exists())


def write_audio(path: Path, hz: int, *, seconds: float = 10.0) -> Path:
    """Raw A-law for `caller` and `callee`; a whole number of periods, since it is played round and round."""
    path.write_bytes(tones.alaw_encode(tones.tone(hz, seconds)))
    return path


def invites(log: Path, direction: str, *, with_credentials: bool = False) -> list[float]:
    """Times (s) of the first INVITE of each call in SIPp's message log, oldest first; retransmissions left out."""
    seen: dict[str, float] = {}
    head = r"-{10,} (\d{4}-\d\d-\d\d)\s+(\d\d:\d\d:\d\d\.\d+)[^\n]*\n(?:UDP|TCP|TLS) message (sent|received)[^\n]*\n"
    parts = re.split(head, log.read_text(errors="replace"))[1:]
    for day, clock, which, text in zip(*[iter(parts)] * 4, strict=True):
        message = text.lstrip()
        call = re.search(r"(?im)^Call-ID: *(\S+)", message)
        if which != direction or not message.startswith("INVITE ") or not call:
            continue
        if with_credentials and "Authorization:" not in message:
            continue
        seen.setdefault(call[1], datetime.fromisoformat(f"{day} {clock}").timestamp())  # noqa: DTZ007 - differences only
    return sorted(seen.values())
