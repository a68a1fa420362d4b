"""Every way of asking, with every answer: who hears what, what is recorded, what the ledger can prove.

All calls (tests.e2e.consent_cases) are made first, a few at a time, on one instance; each test then judges one of them.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import scene
from tests.e2e.consent_cases import CASES, Call
from tests.e2e.scene import CALLEE_HZ, CALLER_HZ, PROMPT_S
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.peers.product import Product, flags

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LANES = 4
QUIET = 2500
"""Amplitude of the phones' tones: a prompt that is played over a conversation stays the louder one."""

# --- running them all -------------------------------------------------------------------------------------------------


@dataclass
class Seen:
    """What came of one call."""

    caller: list[str] = field(default_factory=list)
    callee: list[str] = field(default_factory=list)
    digits: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    failure: BaseException | None = None
    record: dict[str, Any] = field(default_factory=dict)
    acts: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Evening:
    """All calls, and what the instance says of them afterwards."""

    product: Product
    seen: dict[str, Seen]
    erasures: list[dict[str, Any]] = field(default_factory=list)
    recordings: list[dict[str, Any]] = field(default_factory=list)


def line_name(case: str) -> str:
    return f"l{list(CASES).index(case)}"


class Lane:
    """Two phones that make one call after the other."""

    def __init__(self, product: Product, number: int) -> None:
        self.product, self.number = product, number
        self.began = 0.0
        self.callee = f"staff{number}"
        product.add_account(self.callee, f"3{number}0", language="fr", country="FR")
        self.phones: dict[str, Phone] = {}
        self.phones[""] = self._phone("guest", CALLER_HZ, "FR", "fr")
        transport = "udp" if number % 2 else "tls"
        self.staff = product.phone(
            self.callee, self.callee, transport, answer="auto", says=tones.tone(CALLEE_HZ, 60, amplitude=QUIET)
        )
        self.staff.start()

    def _phone(self, name: str, hz: int, country: str, language: str) -> Phone:
        account = f"{name}{self.number}"
        self.product.add_account(account, f"4{self.number}{len(self.phones)}", language=language, country=country)
        says = tones.tone(hz, 60, amplitude=QUIET)
        return self.product.phone(account, account, "tls" if self.number % 2 else "udp", says=says).start()

    def caller(self, who: str) -> Phone:
        if who not in self.phones:
            country = {"swiss": "CH", "english": "FR"}[who]
            self.phones[who] = self._phone(who, CALLER_HZ, country, "en" if who == "english" else "fr")
        return self.phones[who]

    def run(self, case: str, seen: Seen) -> None:
        expected = CASES[case]
        options = dict(expected.line)
        staff_flag = ["--ask-staff"] if options.pop("ask_staff", "") else []
        number = f"7{list(CASES).index(case):02}"
        caller = self.caller(expected.caller_is)
        self.product.cli("line", "add", line_name(case), number, "--members", self.callee, "--class", "standard",
                         *flags(options), *staff_flag)  # fmt: skip
        scene.registered(caller, self.staff)
        time.sleep(max(0.0, self.began + 1.1 - time.monotonic()))  # baresip names what it heard by the second
        self.began = time.monotonic()
        heard = len(caller.recordings()), len(self.staff.recordings())
        call = Call(caller, self.staff)
        call.begin(number)
        try:
            expected.answer(call)
        finally:
            time.sleep(0.2)  # the phones close their files
            for phone in (caller, self.staff):
                phone.command("hangup") if phone.count("CALL_ESTABLISHED") > phone.count("CALL_CLOSED") else None
            seen.caller = story_after(caller, heard[0])
            seen.callee = story_after(self.staff, heard[1])
            seen.digits = call.digits(caller), call.digits(self.staff)


def story_after(phone: Phone, before: int) -> list[str]:
    """What this phone heard in the calls after its first `before` ones."""
    told = [name for path in phone.recordings()[before:] for name in scene.story(tones.read_wav(path)[0][:, 0])]
    return [name for name in told if name != "ringback"]  # how long it rings is not what these tests are about


@pytest.fixture(scope="module")
def evening(
    request: pytest.FixtureRequest, product_seed: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Evening]:
    """Makes the calls of all tests that were chosen."""
    here = [item for item in request.session.items if item.module is request.module]
    chosen = list(dict.fromkeys(item.callspec.params["case"] for item in here if hasattr(item, "callspec")))
    product = Product(tmp_path_factory.mktemp("consent") / "product", *product_seed)
    scene.speak_in_tones(product)
    for prompt in ("PROMPT_OPTIN", "PROMPT_MIFID"):
        scene.break_prompt(product, prompt, "en")
    with product:
        for purpose in ("REC_MIFID", "REC_EMERGENCY"):
            product.cli("person", "grant", "reader", purpose)
        made = Evening(product, {case: Seen() for case in chosen})
        todo, turn = list(chosen), threading.Lock()

        def work(number: int) -> None:
            lane = Lane(product, number)
            while True:
                with turn:
                    if not todo:
                        return
                    case = todo.pop(0)
                try:
                    lane.run(case, made.seen[case])
                except BaseException as failure:  # noqa: BLE001 - told by the test of this call
                    made.seen[case].failure = failure

        scene.in_parallel(*(lambda n=n: work(n) for n in range(min(LANES, len(chosen)))))
        scene.until(lambda: not scene.live_calls(product), "all calls are over", every_s=0.5)
        gather(made)
        yield made


def gather(evening: Evening) -> None:
    product = evening.product
    records = {one["line"]: one for one in product.json("calls", "list", "--limit", "200")}
    acts = scene.entries(product, "consent")
    evening.erasures = scene.entries(product, "erasure")
    evening.recordings = scene.recordings(product)
    for case, seen in evening.seen.items():
        seen.record = records.get(line_name(case), {})
        seen.acts = [act for act in acts if act["call_id"] == seen.record.get("id")]


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.fixture
def seen(evening: Evening, case: str) -> Seen:
    found = evening.seen[case]
    if found.failure is not None:
        raise AssertionError(f"{found.failure}\n{evening.product.logs()}") from found.failure
    return found


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(", ", "-").replace(" ", "_"))


@every_case
@pytest.mark.promise("2.2", "2.3", "2.4", "2.16")
def test_each_side_hears_what_it_must_and_nothing_before(case: str, seen: Seen):
    if CASES[case].caller is not None:
        assert seen.caller == CASES[case].caller
    assert seen.callee == CASES[case].callee


@every_case
@pytest.mark.promise("2.2", "2.3")
def test_the_call_goes_on_or_ends_as_the_pack_says(case: str, seen: Seen):
    expected = CASES[case]
    assert seen.record["fields"]["cause"] == expected.cause
    assert seen.record["fields"]["recording"] == expected.outcome
    assert seen.digits == tuple(list(digits) for digits in expected.digits)


@every_case
@pytest.mark.promise("1.2", "L1", "4.4")
def test_the_ledger_proves_what_each_was_told_and_did(case: str, seen: Seen, evening: Evening):
    assert [(act["act"], act.get("prompt_id", "")) for act in seen.acts] == CASES[case].acts
    for act in seen.acts:
        assert act["purpose"] == CASES[case].line["pack"]
        assert act.get("key") == {"key1": "1", "key2": "2", "objection": "2"}.get(act["act"])
        if act["act"] == "statute":
            continue
        assert act["language"] == ("en" if CASES[case].caller_is == "english" else "fr")
        if act["act"] != "prompt_failed":
            assert act["prompt_version"] == "1"
            assert act["prompt_sha256"] in prompt_hashes(evening.product)
        if act["act"] == "heard":
            assert act["media_ms"] >= PROMPT_S * 900  # to its end
        assert act["media_ms"] < 30_000


@every_case
@pytest.mark.promise("2.1", "L1", "L3", "L9", "1.2", "2.12")
def test_what_is_kept(case: str, seen: Seen, evening: Evening, tmp_path: Path):
    expected = CASES[case]
    if expected.recorded is None:
        assert seen.record["recording_id"] is None
        assert [one for one in evening.recordings if one["call_id"] == seen.record["id"]] == []
    elif expected.recorded == "destroyed":
        check_destroyed(seen, evening)
    else:
        check_kept(case, seen, evening, tmp_path)


def check_kept(case: str, seen: Seen, evening: Evening, place: Path) -> None:
    [recording] = [one for one in evening.recordings if one["call_id"] == seen.record["id"]]
    assert recording["state"] == CASES[case].recorded
    assert recording["id"] == seen.record["recording_id"]
    assert recording["purpose"] == CASES[case].line["pack"]
    assert recording["codec"] == ("flac" if recording["purpose"] == "REC_MIFID" else "opus")
    consented = [act["seq"] for act in seen.acts if act["act"] != "objection"]
    assert recording["consent_refs"] == consented
    channels = scene.by_escrow(evening.product, recording["id"], place)
    assert scene.heard_in(channels[:, 0]) == {"caller"}
    assert scene.heard_in(channels[:, 1]) == {"callee"}


def check_destroyed(seen: Seen, evening: Evening) -> None:
    """Key, wraps, bytes and description are gone; the receipt is in the erasure log."""
    assert seen.record["recording_id"] is None
    objection = seen.acts[-1]["seq"]
    [erasure] = [one for one in evening.erasures if one.get("consent_refs") == [objection]]
    assert (erasure["action"], erasure["cause"], erasure["complete"]) == ("destroy", "objection", True)
    assert len(erasure["receipt_sha256"]) == 64
    rec_id = erasure["rec_id"]
    [recording] = [one for one in evening.recordings if one["id"] == rec_id]
    assert recording["state"] == "destroyed"
    assert (recording["call_id"], recording["purpose"], recording["sha256"]) == (None, None, None)
    assert list(evening.product.data.rglob(f"{rec_id}*")) == []
    with scene.database(evening.product) as db:
        assert db.execute("SELECT count(*) FROM rec_keys WHERE rec_id = ?", (rec_id,)).fetchone()[0] == 0


def prompt_hashes(product: Product) -> set[str]:
    """SHA-256 of every prompt that can have been played."""
    return {hashlib.sha256(path.read_bytes()).hexdigest() for path in (product.data / "prompts").glob("*.wav")}


@pytest.mark.promise("L10", "2.11", "1.18")
def test_afterwards_ledger_and_vault_are_in_order(evening: Evening):
    scene.assert_in_order(evening.product)
