"""A real recorder process, fed by captures in memory."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from recording import keys, vault
from recording.keys import DEK_WRAP_BYTES
from recording.messages import Refusal, encode
from recording.one_recording import SKEW_MAX_S
from recording.proof import sign
from recording.recorder_client import Begin, RecorderClient, RecorderGone, RecorderRefused
from recording.sealed_reader import SealedReader
from tests.recording.house import RATE_HZ, House, Leg, decoded, onset, strength

AUDIO_MARKS = (b"OggS", b"OpusHead", b"fLaC", b"RIFF", b"WAVE")


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path / "vault")


@pytest.fixture
async def recorder(house: House) -> AsyncIterator[RecorderClient]:
    client = await house.recorder()
    yield client
    await client.close()


@pytest.fixture
def legs() -> Iterator[tuple[Leg, Leg]]:
    both = Leg(440), Leg(1000)
    yield both
    for leg in both:
        leg.close()


async def started(recorder: RecorderClient, begin: Begin, legs: tuple[Leg, Leg]) -> bytes:
    wrap = await recorder.begin(begin)
    await recorder.go(begin.rec_id, (legs[0].fd, legs[1].fd))
    return wrap


async def until(true: Callable[[], bool], patience_s: float = 10.0) -> None:
    for _ in range(int(patience_s / 0.02)):
        if true():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it does not become true")


async def until_file_grows(path: Path, least_bytes: int) -> None:
    await until(lambda: path.stat().st_size >= least_bytes)


@pytest.mark.promise("0.1", "L9")
async def test_two_legs_become_two_channels(house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]) -> None:
    begin = house.request()
    wrap = await recorder.begin(begin)
    assert len(wrap) == DEK_WRAP_BYTES
    assert not list(house.vault_dir.rglob("*.*")), "nothing is written before the wrap is safe"
    await recorder.go(begin.rec_id, (legs[0].fd, legs[1].fd))
    for leg in legs:
        leg.grow(4)
    sealed = await recorder.stop(begin.rec_id)
    assert (sealed.complete, sealed.duration_ms) == (True, 4000)
    path = house.sealed(begin.rec_id)
    assert path.stat().st_size == sealed.size_bytes and vault.sha256_of(path) == sealed.sha256
    assert path.stat().st_mode & 0o777 == 0o600 and path.parent.stat().st_mode & 0o777 == 0o700
    left, right = decoded(house.ogg(begin.rec_id, wrap))
    assert strength(left, 440) > 6000 and strength(left, 1000) < 80
    assert strength(right, 1000) > 6000 and strength(right, 440) < 80


async def test_channels_stay_aligned_and_the_shorter_is_padded(house: House, recorder: RecorderClient) -> None:
    begin, legs = house.request(rate_hz=16000), (Leg(440, 16000), Leg(1000, 16000))
    wrap = await started(recorder, begin, legs)
    for seconds in (0.4, 1.3, 0.7):
        for leg in legs:
            leg.grow(seconds, level=lambda _: 0)
    for leg in legs:
        leg.grow(1)
    legs[0].grow(0.5)
    sealed = await recorder.stop(begin.rec_id)
    assert sealed.duration_ms == 3900
    left, right = decoded(house.ogg(begin.rec_id, wrap), 16000)
    assert abs(onset(left) - onset(right)) < 16000 * 0.005
    assert onset(left) == pytest.approx(2.4 * 16000, abs=16000 * 0.01)
    tail = slice(int(3.5 * 16000), int(3.85 * 16000))
    assert strength(left[tail], 440, 16000) > 6000 and strength(right[tail], 1000, 16000) < 50


async def test_a_leg_that_stops_for_long_does_not_hold_up_the_other(
    house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]
) -> None:
    begin = house.request()
    wrap = await started(recorder, begin, legs)
    legs[0].grow(SKEW_MAX_S + 6)
    await until_file_grows(house.growing(begin.rec_id), 48_000)
    with house.growing(begin.rec_id).open("rb") as file:
        reader = SealedReader(file, house.dek(begin.rec_id, wrap), begin.rec_id, house.purpose, tolerant=True)
        assert reader.size_bytes > 0, "the other leg is sealed meanwhile"
    legs[1].grow(2)
    await recorder.stop(begin.rec_id)
    _, right = decoded(house.ogg(begin.rec_id, wrap))
    assert onset(right) == pytest.approx((SKEW_MAX_S + 6) * RATE_HZ, abs=RATE_HZ * 0.02)


async def test_lossless_is_bit_exact(house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]) -> None:
    begin = house.request(lossless=True)
    wrap = await started(recorder, begin, legs)
    noise = [os.urandom(2 * RATE_HZ * 2) for _ in legs]
    for leg, pcm in zip(legs, noise, strict=True):
        leg.write(pcm)
    await recorder.stop(begin.rec_id)
    assert [channel.tobytes() for channel in decoded(house.ogg(begin.rec_id, wrap))] == noise


async def test_memory_of_what_was_read_is_given_back(
    house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]
) -> None:
    begin = house.request()
    await started(recorder, begin, legs)
    for leg in legs:
        leg.grow(30)
    await until_file_grows(house.growing(begin.rec_id), 100_000)
    await until(lambda: os.fstat(legs[0].fd).st_blocks * 512 <= 8192)
    assert os.fstat(legs[0].fd).st_size > 480_000
    assert os.pread(legs[0].fd, 4, 0) == b"RIFF", "the header page stays"


@pytest.mark.promise("L1")
@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("proof", "expired"),
        ("proof", "forged"),
        ("proof", "altered"),
        ("proof", "empty"),
        ("proof", "other recording"),
        ("proof", "other purpose"),
        ("proof", "no end"),
        ("kek", "forged signature"),
        ("kek", "other purpose's KEK"),
        ("kek", "substituted key"),
    ],
)
async def test_no_proof_no_key(house: House, recorder: RecorderClient, reason: Refusal, spoil: str) -> None:
    rec_id = secrets.token_hex(16)
    stranger = Ed25519PrivateKey.generate()
    good = sign(house.token(rec_id), house.proof_signer)
    theirs = keys.generate_kek()[0]
    changes: dict[str, dict[str, object]] = {
        "expired": {"proof": sign(house.token(rec_id, lifetime_s=-1), house.proof_signer)},
        "forged": {"proof": sign(house.token(rec_id), stranger)},
        "altered": {"proof": good.replace(b'"quality"', b'"qualitz"')},
        "empty": {"proof": b""},
        "other recording": {"proof": sign(house.token(secrets.token_hex(16)), house.proof_signer)},
        "other purpose": {"proof": sign(house.token(rec_id, purpose="training"), house.proof_signer)},
        "no end": {"proof": sign(house.token(rec_id, lifetime_s=7200), house.proof_signer)},
        "forged signature": {"kek_signature": keys.sign_kek("kek-1", "quality", house.kek_public, stranger)},
        "other purpose's KEK": {
            "kek_signature": keys.sign_kek("kek-1", "training", house.kek_public, house.kek_signer)
        },
        "substituted key": {"kek_public": theirs},
    }
    with pytest.raises(RecorderRefused) as refused:
        await recorder.begin(house.request(rec_id, **changes[spoil]))
    assert refused.value.reason == reason
    with pytest.raises(RecorderRefused):
        await recorder.go(rec_id, (0, 0))
    assert not list(house.vault_dir.iterdir())


@pytest.mark.promise("L1")
async def test_a_proof_makes_one_key(house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]) -> None:
    begin = house.request()
    await recorder.begin(begin)
    for _ in range(2):
        with pytest.raises(RecorderRefused, match="used before"):
            await recorder.begin(begin)
        await recorder.destroy(begin.rec_id)
    fresh = house.request()
    await started(recorder, fresh, legs)
    await recorder.stop(fresh.rec_id)
    again = await house.recorder()  # a new process has forgotten the proof; the vault has not
    with pytest.raises(RecorderRefused) as refused:
        await again.begin(fresh)
    assert refused.value.reason == "exists"
    await again.close()


@pytest.mark.promise("L1")
async def test_destroy_leaves_nothing(house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]) -> None:
    begin = house.request()
    await started(recorder, begin, legs)
    for leg in legs:
        leg.grow(2)
    await recorder.destroy(begin.rec_id)
    assert not [path for path in house.vault_dir.rglob("*") if path.is_file()]
    with pytest.raises(RecorderRefused) as refused:
        await recorder.stop(begin.rec_id)
    assert refused.value.reason == "unknown"


@pytest.mark.promise("0.1", "L9")
async def test_no_plaintext_and_no_key_in_any_file(
    house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]
) -> None:
    begin = house.request(lossless=True)
    wrap = await started(recorder, begin, legs)
    for leg in legs:
        leg.grow(20)
    await until_file_grows(house.growing(begin.rec_id), 20_000)
    growing = house.growing(begin.rec_id).read_bytes()
    await recorder.stop(begin.rec_id)
    dek = house.dek(begin.rec_id, wrap)
    files = [path for path in house.vault_dir.parent.rglob("*") if path.is_file()]
    assert len(files) == 1
    for data in (growing, files[0].read_bytes()):
        assert dek not in data and wrap[:64] not in data
        assert not any(mark in data for mark in AUDIO_MARKS)


async def test_begin_is_refused_where_the_disk_is_nearly_full(house: House) -> None:
    recorder = await house.recorder(min_free_mb=10**9)
    with pytest.raises(RecorderRefused) as refused:
        await recorder.begin(house.request())
    assert refused.value.reason == "space"
    await recorder.close()


async def test_go_wants_two_captures(house: House, recorder: RecorderClient) -> None:
    ends = os.pipe()
    begin = house.request()
    await recorder.begin(begin)
    with pytest.raises(RecorderRefused) as refused:
        await recorder.go(begin.rec_id, ends)
    assert refused.value.reason == "capture"
    for end in ends:
        os.close(end)
    assert recorder.alive and not list(house.vault_dir.rglob("*.part"))


@pytest.mark.promise("L9")
async def test_a_killed_recorder_leaves_an_openable_prefix(house: House, legs: tuple[Leg, Leg]) -> None:
    recorder = await house.recorder()
    begin = house.request()
    wrap = await started(recorder, begin, legs)
    for leg in legs:
        leg.grow(12)
    await until_file_grows(house.growing(begin.rec_id), 48_000)
    assert vault.is_being_written(house.vault_dir, begin.rec_id)
    os.kill(recorder.pid, signal.SIGKILL)
    with pytest.raises(RecorderGone):
        await recorder.stop(begin.rec_id)
    assert len(house.events) == 1 and isinstance(house.events[0], RecorderGone) and not recorder.alive
    settled = await vault.settle(house.vault_dir, begin.rec_id)
    assert settled.state == "cut" and settled.path == house.growing(begin.rec_id) and settled.sealed_chunks >= 2
    vault.adopt(house.vault_dir, begin.rec_id)
    assert vault.verify(house.vault_dir, begin.rec_id, settled.sha256)
    left, right = decoded(house.ogg(begin.rec_id, wrap, tolerant=True))
    assert len(left) > 4 * RATE_HZ
    assert strength(left, 440) > 6000 and strength(right, 1000) > 6000
    await recorder.close()


def writing_worker(fds: tuple[int, int]) -> subprocess.Popen[bytes]:
    program = f"""if True:
        import os, time
        os.write({fds[0]}, bytes(44)), os.write({fds[1]}, bytes(44))
        for _ in range(1000):
            os.write({fds[0]}, b"\\1\\2" * 2000), os.write({fds[1]}, b"\\3\\4" * 2000)
            time.sleep(0.02)
    """
    return subprocess.Popen([sys.executable, "-I", "-c", program], pass_fds=fds)


async def test_a_killed_worker_costs_only_what_it_had_not_written(house: House, recorder: RecorderClient) -> None:
    fds = os.memfd_create("a"), os.memfd_create("b")
    worker = writing_worker(fds)
    begin = house.request(lossless=True)
    wrap = await recorder.begin(begin)
    await recorder.go(begin.rec_id, fds)
    await until(lambda: os.fstat(fds[1]).st_size >= 100_000)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    written = max(os.fstat(fd).st_size - 44 for fd in fds) // 2
    sealed = await recorder.stop(begin.rec_id)
    assert sealed.complete and sealed.duration_ms == written * 1000 // RATE_HZ
    assert len(decoded(house.ogg(begin.rec_id, wrap))[0]) == written
    for fd in fds:
        os.close(fd)


DAEMON = """if True:
    import asyncio, sys
    from pathlib import Path
    from recording.recorder_client import Begin, RecorderClient
    from recording.messages import decode

    async def main():
        job = decode(sys.stdin.readline().encode())
        public = [bytes.fromhex(job[name]) for name in ("proof_public", "kek_public")]
        recorder = await RecorderClient.start(Path(job["vault"]), *public, 48000, print, min_free_mb=1)
        begin = Begin.from_wire(job["begin"])
        wrap = await recorder.begin(begin)
        await recorder.go(begin.rec_id, tuple(job["fds"]))
        print(wrap.hex(), flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
"""


@pytest.mark.promise("L9")
def test_a_killed_daemon_leaves_whole_recordings(house: House, legs: tuple[Leg, Leg]) -> None:
    begin = house.request()
    job = {
        "vault": str(house.vault_dir),
        "proof_public": house.proof_signer.public_key().public_bytes_raw().hex(),
        "kek_public": house.kek_signer.public_key().public_bytes_raw().hex(),
        "begin": begin.to_wire(),
        "fds": [leg.fd for leg in legs],
    }
    daemon = subprocess.Popen(
        [sys.executable, "-I", "-c", DAEMON],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        pass_fds=job["fds"],  # type: ignore[arg-type]
    )
    assert daemon.stdin is not None and daemon.stdout is not None
    daemon.stdin.write(encode(job) + b"\n")
    daemon.stdin.flush()
    wrap = bytes.fromhex(daemon.stdout.readline().decode())
    for leg in legs:
        leg.grow(3)
    os.kill(daemon.pid, signal.SIGKILL)
    daemon.wait()
    assert vault.is_being_written(house.vault_dir, begin.rec_id), "the recorder outlives the daemon"
    settled = asyncio.run(vault.settle(house.vault_dir, begin.rec_id))
    assert settled.state == "whole" and settled.path == house.sealed(begin.rec_id)
    assert len(decoded(house.ogg(begin.rec_id, wrap))[0]) == pytest.approx(3 * RATE_HZ, abs=100)
    daemon.stdin.close()
    daemon.stdout.close()


async def test_signals_that_stop_the_daemon_do_not_stop_the_recorder(
    house: House, recorder: RecorderClient, legs: tuple[Leg, Leg]
) -> None:
    begin = house.request()
    await started(recorder, begin, legs)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(recorder.pid, number)
    for leg in legs:
        leg.grow(1)
    assert (await recorder.stop(begin.rec_id)).complete


def limits_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/limits").read_text().splitlines()


def test_the_recorder_leaves_no_core(house: House) -> None:
    async def limits() -> str:
        recorder = await house.recorder()
        lines = limits_of(recorder.pid)
        await recorder.close()
        return next(line for line in lines if line.startswith("Max core file size"))

    core = asyncio.run(limits())
    assert core.split()[4:6] == ["0", "0"]
