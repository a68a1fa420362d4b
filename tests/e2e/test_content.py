"""What is heard and what is recorded, sample by sample: the words of the question, both channels, their alignment."""

from __future__ import annotations

import hashlib
import statistics
import time
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import scene
from tests.e2e.wire import Wire
from tests.peers import tones
from tests.peers.baresip import Phone, Transport
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

STEPS = 26
CALLER_STEPS = tuple(420 + 80 * n for n in range(STEPS))
CALLEE_STEPS = tuple(460 + 80 * n for n in range(STEPS))
"""Each phone's tone tells the second in which it was sent."""

ALIGNED_S = 0.040


def staircase(steps: tuple[int, ...]) -> tones.Samples:
    return np.concatenate([tones.tone(hz, 1.0) for hz in steps])


def seconds_in(samples: tones.Samples, steps: tuple[int, ...]) -> list[int]:
    """Which seconds of a staircase are heard, each for at least half of it, in the order in which they are."""
    found = tones.labels(samples, steps)
    heard: list[int] = []
    for run in np.split(found, np.flatnonzero(np.diff(found)) + 1):
        if run[0] in steps and len(run) >= 5:
            heard.append(steps.index(int(run[0])))
    return heard


def find(needle: tones.Samples, haystack: tones.Samples) -> tuple[float, float]:
    """Where (s) something was heard, and how alike it is: 1 is the same, 0.1 is anything else."""
    part, whole = needle.astype(np.float64), haystack.astype(np.float64)
    if len(whole) < len(part):
        return 0.0, 0.0
    size = 1 << (len(whole) + len(part)).bit_length()
    product = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)[
        : len(whole) - len(part) + 1
    ]
    energy = np.cumsum(np.concatenate([[0.0], whole**2]))
    there = np.sqrt(np.maximum(energy[len(part) :] - energy[: -len(part)], 1.0) * (part**2).sum())
    likeness = product / there
    best = int(likeness.argmax())
    return best / 8000, float(likeness[best])


def spoken(product: Product, sha256: str) -> tones.Samples:
    """The prompt that the evidence names by its hash."""
    [path] = [
        p for p in (product.data / "prompts").glob("*.wav") if hashlib.sha256(p.read_bytes()).hexdigest() == sha256
    ]
    return tones.read_wav(path)[0][:, 0]


@pytest.fixture(scope="module")
def reader(shared_product: Product) -> scene.Reader:
    return scene.first_reader(shared_product)


def pair(
    product: Product, name: str, extension: int, transport: Transport, says: tuple[tones.Samples, tones.Samples]
) -> tuple[Phone, Phone, str]:
    """Two phones of two new accounts, and the number of a line that asks the caller and rings the other."""
    for who, digits in ((f"{name}-guest", extension), (f"{name}-staff", extension + 1)):
        product.add_account(who, str(digits), language="fr")
    number = str(extension + 2)
    product.add_line(f"{name}-line", number, members=[f"{name}-staff"], pack="REC_QUALITY", consent="opt-in")
    caller = product.phone(f"{name}-guest", f"{name}-guest", transport, says=says[0])
    callee = product.phone(f"{name}-staff", f"{name}-staff", transport, says=says[1], answer="auto")
    return caller, callee, number


@pytest.mark.promise("2.2", "2.4", "L1", "0.1", "P2")
@pytest.mark.parametrize("transport", ["tls", "udp"])
def test_the_question_then_the_conversation_and_nothing_else_is_recorded(
    shared_product: Product, reader: scene.Reader, transport: Transport, tmp_path: Path
):
    product, before = shared_product, scene.rec_ids(shared_product)
    extension = {"tls": 510, "udp": 520}[transport]
    says = staircase(CALLER_STEPS), staircase(CALLEE_STEPS)
    caller, callee, number = pair(product, transport, extension, transport, says)
    with caller, callee:
        scene.registered(caller, callee)
        recorded = product.metric("beffroi_calls_recorded_total")
        caller.dial(number)
        asked_at = caller.established()["at"]
        time.sleep(4)
        key_at = time.monotonic()
        caller.press("1")
        answered_at = callee.established()["at"]
        scene.until(lambda: product.metric("beffroi_calls_recorded_total") > recorded, "a recording begins", 15)
        time.sleep(5)
        ended_at = time.monotonic()
        caller.hang_up()
        callee.closed()
        caller.closed()
    recording = scene.one_recording(product, but=before)
    question, announcement = scene.entries(product, "consent", last=2)
    assert (question["act"], question["prompt_id"]) == ("key1", "PROMPT_OPTIN")
    assert (announcement["act"], announcement["prompt_id"]) == ("heard", "PROMPT_STAFF")
    assert abs(question["media_ms"] / 1000 - (key_at - asked_at)) < 0.3

    # The caller: the question as far as it got, nothing of the other side before the key, then the other side.
    words = spoken(product, question["prompt_sha256"])
    asked_s, likeness = find(words[: 3 * 8000], caller.heard())
    assert likeness > 0.9
    until_key = round((asked_s + 3.5) * 8000)
    assert seconds_in(caller.heard()[:until_key], CALLEE_STEPS) == []
    heard_of_callee = seconds_in(caller.heard()[until_key:], CALLEE_STEPS)
    # The callee: its announcement to the end, then the caller.
    told = spoken(product, announcement["prompt_sha256"])
    told_s, likeness = find(told, callee.heard())
    assert likeness > 0.9
    heard_of_caller = seconds_in(callee.heard()[round(told_s * 8000) + len(told) :], CALLER_STEPS)
    assert seconds_in(callee.heard()[: round(told_s * 8000) + len(told)], CALLER_STEPS) == []

    # The recording: each channel its own side and nothing of the other, no prompt, not a second from before.
    channels = reader.export(product, recording["id"], tmp_path)
    left, right = channels[:, 0], channels[:, 1]
    on_the_left, on_the_right = seconds_in(left, CALLER_STEPS), seconds_in(right, CALLEE_STEPS)
    for seconds in (on_the_left, on_the_right, heard_of_callee, heard_of_caller):
        assert len(seconds) >= 3
        assert seconds == list(range(seconds[0], seconds[-1] + 1))  # none is missing
    assert seconds_in(left, CALLEE_STEPS) == seconds_in(right, CALLER_STEPS) == []
    told_duration_s = len(told) / 8000
    assert on_the_left[0] + 1 > answered_at + told_duration_s - asked_at - 0.5
    assert on_the_right[0] + 1 > told_duration_s - 0.5
    for channel in (left, right):
        assert find(words[: 2 * 8000], channel)[1] < 0.3
        assert find(told, channel)[1] < 0.3
    talked_s = ended_at - answered_at - told_duration_s
    assert abs(recording["duration_ms"] / 1000 - talked_s) < 0.7
    assert abs(len(channels) / 8000 - recording["duration_ms"] / 1000) < 0.1


PERIOD_S = 2.0


def phase(times: list[float]) -> float:
    """Where in the period the bursts begin, 0 to PERIOD_S; the odd one that was delayed does not count."""
    first = times[0]
    return (first + statistics.median((t - first + PERIOD_S / 2) % PERIOD_S - PERIOD_S / 2 for t in times)) % PERIOD_S


def skew(channels: tones.Samples, wires: tuple[Wire, Wire], hz: tuple[int, int]) -> float:
    """By how much (s) the right channel lags behind the left, compared with when both were sent."""
    late = []
    for channel, wire, tone in zip(channels.T, wires, hz, strict=True):
        recorded, sent = tones.onsets(channel, tone), wire.onsets(tone)
        assert len(recorded) >= 3 and len(sent) >= 3
        late.append(phase(recorded) - phase(sent))
    return (late[1] - late[0] + PERIOD_S / 2) % PERIOD_S - PERIOD_S / 2


@pytest.mark.promise("L1", "2.11")
@pytest.mark.parametrize(
    "talk_s",
    [
        pytest.param(12, id="at once"),
        pytest.param(610, id="after ten minutes", marks=[pytest.mark.full, pytest.mark.timeout(900)]),
    ],
)
def test_the_two_channels_are_aligned(shared_product: Product, talk_s: float, tmp_path: Path):
    product, before = shared_product, scene.rec_ids(shared_product)
    says = tuple(tones.bursts(hz, talk_s + 60, every=PERIOD_S, length=0.5) for hz in (400, 1000))
    caller, callee, number = pair(product, f"aligned{talk_s}", 530 + 10 * (talk_s > 60), "udp", says)
    with caller, callee:
        scene.registered(caller, callee)
        caller.dial(number)
        caller.established()
        caller.press("1")
        callee.established()
        time.sleep(talk_s - 10)
        try:
            with Wire(caller) as left, Wire(callee) as right:
                time.sleep(10)
        except PermissionError:
            pytest.skip("looking at the wire needs the right to open a packet socket")
        caller.hang_up()
        callee.closed()
    recording = scene.one_recording(product, but=before)
    channels = scene.by_escrow(product, recording["id"], tmp_path)
    assert abs(skew(channels[-9 * 8000 :], (left, right), (400, 1000))) < ALIGNED_S
