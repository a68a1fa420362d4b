"""A real listening room process, with a person at a socket."""

from __future__ import annotations

import asyncio
import http.client
import io
import os
import secrets
import socket
import time
import urllib.error
import urllib.request
import wave
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar
from pathlib import Path

import pyotp
import pytest

from recording import keys
from recording.capture import interleave
from recording.encoder import Encoder
from recording.reader_bundle import ReaderSecret, seal_reader
from recording.recorder_client import Sealed
from recording.room_client import Opened, RoomEnd, RoomJob, run_room
from recording.room_page import byte_range, merged
from recording.room_terminal import Page, RoomRefused, export_to, page_of, wait_closed
from recording.sealed_writer import SealedWriter
from tests.recording.house import House, Leg

PASSPHRASE = "correct horse battery staple"
TOTP_SECRET = pyotp.random_base32()


@dataclass
class Case:
    """One sealed recording and one reader."""

    house: House
    job: RoomJob
    wrap: bytes

    def answer(self, what: str) -> str:
        return PASSPHRASE if what == "passphrase" else pyotp.TOTP(TOTP_SECRET).now()


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """Sealed in this process, once: the recorder has tests of its own."""
    house = House(tmp_path_factory.mktemp("room") / "vault")
    rec_id, dek = secrets.token_hex(16), secrets.token_bytes(keys.DEK_BYTES)
    writer = SealedWriter(house.vault_dir, rec_id, house.purpose, dek)
    encoder = Encoder(writer, rate_hz=8000, bitrate_bps=48000, lossless=False)
    legs = Leg(440), Leg(1000)
    for leg in legs:
        leg.grow(8)
    left, right = (os.pread(leg.fd, 8 * 16000, 44) for leg in legs)
    encoder.feed(interleave(left, right))
    encoder.close()
    writer.finish()
    for leg in legs:
        leg.close()
    wrap = keys.wrap_dek(dek, house.kek_public, rec_id=rec_id, purpose=house.purpose, kek_id=house.kek_id)
    sealed = Sealed(rec_id, writer.size_bytes, writer.sha256, encoder.duration_ms, True)
    return Case(house, reader_job(house, rec_id, wrap, sealed), wrap)


def reader_job(house: House, rec_id: str, wrap: bytes, sealed: Sealed) -> RoomJob:
    public, secret = keys.generate_reader()
    return RoomJob(
        mode="export",
        rec_id=rec_id,
        purpose=house.purpose,
        kek_id=house.kek_id,
        reader_id="reader-1",
        reader_bundle=seal_reader(ReaderSecret("reader-1", secret, TOTP_SECRET), PASSPHRASE),
        kek_wrap=keys.wrap_kek(house.kek_secret, public, kek_id=house.kek_id, reader_id="reader-1"),
        dek_wrap=wrap,
        path=str(house.sealed(rec_id)),
        sha256=sealed.sha256,
        state="whole" if sealed.complete else "cut",
    )


async def yes(_: Opened) -> bool:
    return True


async def meet(
    job: RoomJob, person: Callable[[socket.socket], object], allow: Callable[[Opened], Awaitable[bool]] = yes
) -> tuple[RoomEnd, object]:
    ours, theirs = socket.socketpair()
    with ours, theirs:

        def act() -> object:
            try:
                return person(ours)
            except RoomRefused as refused:
                return refused

        end, said = await asyncio.gather(run_room(job, theirs.fileno(), allow), asyncio.to_thread(act))
    return end, said


@pytest.mark.promise("0.2", "L9")
async def test_export_gives_the_ogg_stream_after_leave(case: Case, tmp_path: Path) -> None:
    target = tmp_path / "out.ogg"
    seen: list[Opened] = []

    async def allow(opened: Opened) -> bool:
        assert not target.exists(), "nothing leaves before the daemon has written it down"
        seen.append(opened)
        return True

    end, state = await meet(case.job, lambda sock: export_to(sock, case.answer, target), allow)
    assert (end.refused, end.complete, state) == (None, True, "whole")
    assert seen[0].totp_step == end.totp_step == pytest.approx(time.time() // 30, abs=1)
    assert target.read_bytes() == case.house.ogg(case.job.rec_id, case.wrap)
    assert target.stat().st_mode & 0o777 == 0o600


async def test_export_as_wav_is_plain_pcm(case: Case, tmp_path: Path) -> None:
    target = tmp_path / "out.wav"
    end, _ = await meet(replace(case.job, format="wav"), lambda sock: export_to(sock, case.answer, target))
    assert end.complete
    with wave.open(str(target)) as wav:
        assert (wav.getnchannels(), wav.getframerate(), wav.getsampwidth()) == (2, 8000, 2)
        assert wav.getnframes() == pytest.approx(8 * 8000, abs=100)


@pytest.mark.promise("0.2")
async def test_wrong_passphrase_and_wrong_code_cannot_be_told_apart(case: Case, tmp_path: Path) -> None:
    target = tmp_path / "out.ogg"
    step = int(time.time()) // 30

    def no_passphrase(what: str) -> str:
        return "not the passphrase at all" if what == "passphrase" else case.answer(what)

    def no_code(what: str) -> str:
        return case.answer(what) if what == "passphrase" else "000000"

    jobs = [(case.job, no_passphrase), (case.job, no_code), (replace(case.job, last_totp_step=step + 1), case.answer)]
    told, why = [], []
    for job, answer in jobs:
        end, refused = await meet(job, lambda sock, answer=answer: export_to(sock, answer, target))
        assert isinstance(refused, RoomRefused)
        told.append(refused.why)
        why.append(end.refused)
        assert end.totp_step is None and not target.exists()
    assert told == ["credentials"] * 3
    assert why == ["credentials", "credentials", "replay"]


async def test_a_daemon_that_says_no_is_obeyed(case: Case, tmp_path: Path) -> None:
    async def no(_: Opened) -> bool:
        return False

    target = tmp_path / "out.ogg"
    end, refused = await meet(case.job, lambda sock: export_to(sock, case.answer, target), no)
    assert end.refused == "denied" and isinstance(refused, RoomRefused) and not target.exists()
    assert end.totp_step is not None, "the code was right and counts as used"


def flip_a_bit(path: Path, copy: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    copy.write_bytes(data)


@pytest.mark.promise("2.11")
async def test_an_altered_file_is_refused_before_anything_leaves(case: Case, tmp_path: Path) -> None:
    altered = tmp_path / "altered.rec"
    flip_a_bit(Path(case.job.path), altered)
    target = tmp_path / "out.ogg"
    end, refused = await meet(replace(case.job, path=str(altered)), lambda sock: export_to(sock, case.answer, target))
    assert end.refused == "integrity" and isinstance(refused, RoomRefused) and not target.exists()


@pytest.mark.promise("0.4")
async def test_a_wrap_for_another_purpose_or_reader_opens_nothing(case: Case, tmp_path: Path) -> None:
    other_reader = keys.wrap_kek(case.house.kek_secret, keys.generate_reader()[0], kek_id="kek-1", reader_id="reader-1")
    for job in (replace(case.job, purpose="training"), replace(case.job, kek_wrap=other_reader)):
        end, refused = await meet(job, lambda sock: export_to(sock, case.answer, tmp_path / "out.ogg"))
        assert end.refused == "keys" and isinstance(refused, RoomRefused)


async def test_a_person_who_hangs_up_ends_it(case: Case) -> None:
    end, _ = await meet(case.job, lambda sock: sock.close())
    assert end.refused == "hung-up"


async def test_an_export_that_breaks_off_is_not_complete(case: Case) -> None:
    def half(sock: socket.socket) -> None:
        page_of(sock, case.answer)  # reads the stream's first line as if it were a page's

    end, _ = await meet(case.job, lambda sock: _raises(KeyError, lambda: half(sock)))
    assert end.refused is None


def _raises(kind: type[Exception], act: Callable[[], None]) -> None:
    with pytest.raises(kind):
        act()


async def test_the_page_plays_seeks_and_closes(case: Case) -> None:
    ogg = case.house.ogg(case.job.rec_id, case.wrap)

    def listen(sock: socket.socket) -> Page:
        page = page_of(sock, case.answer)
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        base = page.url.rsplit("/", 1)[0]
        assert _status(urllib.request.build_opener(), base + "/audio.ogg") == 404, "no cookie, no audio"
        with browser.open(page.url) as shown:
            assert b"audio.ogg" in shown.read() and shown.headers["Cache-Control"] == "no-store"
        assert _status(urllib.request.build_opener(), page.url) == 404, "the address works once"
        browser.addheaders = [("Range", "bytes=100-20099")]
        with browser.open(base + "/audio.ogg") as part:
            assert part.status == 206 and part.headers["Content-Range"] == f"bytes 100-20099/{len(ogg)}"
            assert part.read() == ogg[100:20100]
        browser.addheaders = []
        with browser.open(base + "/audio.wav") as wav, wave.open(io.BytesIO(wav.read())) as decoded_wav:
            assert decoded_wav.getnframes() > 7 * 8000
        rebound = http.client.HTTPConnection(base.removeprefix("http://"), timeout=5)
        rebound.request("GET", "/audio.ogg", headers={"Host": "evil.example"})
        assert rebound.getresponse().status == 421
        sock.close()
        return page

    end, page = await meet(replace(case.job, mode="open"), listen)
    assert isinstance(page, Page) and end.refused is None and end.spans == ((100, 20100),)
    port = int(page.url.split(":")[2].split("/")[0])
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


def _status(browser: urllib.request.OpenerDirector, request: str) -> int:
    try:
        with browser.open(request) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def test_the_page_closes_when_the_time_is_over(case: Case) -> None:
    def listen(sock: socket.socket) -> float:
        page_of(sock, case.answer)
        started_s = time.monotonic()
        wait_closed(sock)
        return time.monotonic() - started_s

    end, lasted_s = await meet(replace(case.job, mode="open", open_s=1), listen)
    assert end.refused is None and lasted_s == pytest.approx(1, abs=0.5)


def test_ranges() -> None:
    assert byte_range(None, 10) == (0, 10)
    assert byte_range("bytes=2-4", 10) == (2, 5)
    assert byte_range("bytes=8-", 10) == (8, 10)
    assert byte_range("bytes=-3", 10) == (7, 10)
    assert byte_range("bytes=-0", 10) is None
    assert byte_range("bytes=10-", 10) is None
    assert byte_range("bytes=1-2,4-5", 10) == (0, 10)
    assert merged([(5, 9), (0, 3), (2, 4), (9, 9)]) == ((0, 4), (5, 9))
