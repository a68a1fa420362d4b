"""Other words for an announcement, from the portal to a caller's ear, and what the evidence then names."""

from __future__ import annotations

import hashlib
import re
import time
from pathlib import Path

import numpy as np
import pytest

from tests.e2e import scene
from tests.peers import tones
from tests.peers.baresip import Phone
from tests.web.portal import Portal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

PROMPT = ("PROMPT_OPTOUT_QUALITY", "fr")
PAGE = "/prompts/PROMPT_OPTOUT_QUALITY/fr"
OWN = (
    "Ici {org}, bonjour. Nous pouvons enregistrer cet appel, effacé après {time}. Refus : touche 2. Détails : touche 0."
)


def likeness(heard: tones.Samples, played: tones.Samples) -> float:
    """How alike the loudness of both runs, 20 ms by 20 ms, where they fit best: 1 is the same."""
    one, other = (
        np.sqrt(np.square(each[: len(each) // 160 * 160].astype(float)).reshape(-1, 160).mean(axis=1))
        for each in (heard, played)
    )
    if len(one) < len(other):
        return 0.0
    windows = np.lib.stride_tricks.sliding_window_view(one, len(other))
    return max(float(np.corrcoef(window, other)[0, 1]) for window in windows if window.std() > 0)


def as_played(portal: Portal, place: Path) -> tuple[tones.Samples, str]:
    """What the product says that a call hears now, and its hash."""
    portal.product.cli("prompt", "hear", *PROMPT, "--out", str(place))
    content = place.read_bytes()
    return tones.read_wav(place)[0][:, 0], hashlib.sha256(content).hexdigest()


def ask(portal: Portal, guest: Phone, seconds: float) -> tones.Samples:
    """One call that listens to the question, and hangs up."""
    time.sleep(1.1)  # baresip names what it heard by the second
    before = len(guest.recordings())
    since = guest.count("CALL_CLOSED")
    guest.dial("388")
    guest.established()
    time.sleep(seconds + 1.5)
    guest.hang_up()
    scene.until(lambda: guest.count("CALL_CLOSED") > since, "the call has ended")
    scene.until(lambda: len(guest.recordings()) > before, "the phone has closed its file")
    time.sleep(0.3)
    return guest.heard()


def asked_with(portal: Portal) -> set[tuple[str, str]]:
    """Version and hash of each wording that the consent log names for this prompt."""
    found = [entry for entry in scene.entries(portal.product, "consent") if entry.get("prompt_id") == PROMPT[0]]
    return {(entry["prompt_version"], entry["prompt_sha256"]) for entry in found}


@pytest.mark.promise("2.2", "2.4")
def test_the_next_caller_hears_what_was_approved(portal: Portal, tmp_path: Path) -> None:
    product = portal.product
    for name, number in (("heard-guest", "386"), ("heard-staff", "387")):
        product.add_account(name, number, language="fr", country="FR")
    product.add_line("heard", "388", members=["heard-staff"], pack="REC_QUALITY")
    guest = product.phone("heard-guest", "heard-guest", says=tones.silence(60)).start()
    staff = product.phone("heard-staff", "heard-staff", says=tones.silence(60)).start()
    scene.registered(guest, staff)
    shipped, shipped_sha256 = as_played(portal, tmp_path / "shipped.wav")
    before = ask(portal, guest, len(shipped) / 8000)
    assert likeness(before, shipped) > 0.9

    admin, officer = portal.visitor(portal.people["admin"]), portal.visitor(portal.people["dpo"])
    officer.prove(portal.people["dpo"])
    assert admin.post(f"{PAGE}/words", {"text": OWN}).to == PAGE
    draft = re.search(r'name="number" value="([0-9]+)"', officer.get(PAGE).text)
    assert draft is not None and likeness(shipped, as_played(portal, tmp_path / "still.wav")[0]) > 0.99
    assert officer.post(f"{PAGE}/approve", {"number": draft[1]}).to == PAGE
    own, own_sha256 = as_played(portal, tmp_path / "own.wav")
    assert own_sha256 != shipped_sha256

    after = ask(portal, guest, len(own) / 8000)
    assert likeness(after, own) > 0.9, "without a restart"
    assert (
        likeness(after, own) > likeness(after, shipped) + 0.2
        and likeness(before, shipped) > likeness(before, own) + 0.2
    )
    named = asked_with(portal)
    assert ("1", shipped_sha256) in named and (f"1.{draft[1]}", own_sha256) in named
    file = product.data / "prompts"
    assert own_sha256 in {hashlib.sha256(path.read_bytes()).hexdigest() for path in file.glob("*.wav")}
