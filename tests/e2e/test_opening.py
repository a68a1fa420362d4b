"""Who can open a recording, and who cannot: the reader; not root with every file, not half of what a reader types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest

from recording import keys as key_tools
from tests.e2e import scene
from tests.e2e.burglar import Burglar
from tests.e2e.scene import CALLEE_HZ, CALLER_HZ, Reader
from tests.peers import tones
from tests.peers.product import Product

pytestmark = [pytest.mark.e2e]


@dataclass
class Archive:
    """One recording of REC_QUALITY, and people who stood in these relations to it when it was made."""

    product: Product
    rec_id: str
    reader: Reader
    """Has the right; made by quickstart."""
    people: dict[str, Reader]
    """other: the right to another purpose; revoked, disabled, careless: the right, for now; late: the right since
    then; chief: administrator, data protection officer and auditor, with a key and without any right."""


def record_one(product: Product) -> str:
    before = scene.rec_ids(product)
    recorded = product.metric("beffroi_calls_recorded_total")
    number = len(before)
    caller = product.phone(f"alice{number}", "alice", "udp", says=tones.tone(CALLER_HZ, 30))
    callee = product.phone(f"bob{number}", "bob", "tls", says=tones.tone(CALLEE_HZ, 30), answer="auto")
    with caller, callee:
        scene.registered(caller, callee)
        caller.dial("200")
        caller.established()
        caller.press("1")
        scene.until(lambda: product.metric("beffroi_calls_recorded_total") > recorded, "it is recorded", 15)
        scene.talk(2)
        caller.hang_up()
        callee.closed()
    return str(scene.one_recording(product, but=before)["id"])


@pytest.fixture(scope="module")
def archive(product_seed: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    product = Product(tmp_path_factory.mktemp("opening") / "product", *product_seed)
    scene.speak_in_tones(product)
    with product:
        people = {"other": scene.new_reader(product, "other", "REC_MIFID")}
        for login in ("revoked", "disabled", "careless"):
            people[login] = scene.new_reader(product, login, "REC_QUALITY")
        people["chief"] = scene.new_reader(product, "chief", roles="admin,dpo,auditor,reader")
        rec_id = record_one(product)
        people["late"] = scene.new_reader(product, "late", "REC_QUALITY")
        yield Archive(product, rec_id, scene.first_reader(product), people)


def try_export(archive: Archive, reader: Reader, place: Path, **typed: str) -> str:
    """What somebody is told who is refused; nothing may be left behind."""
    out = place / "stolen.ogg"
    said = scene.refused(
        archive.product, "recordings", "export", archive.rec_id, "--as", reader.login, "--reason", "curiosity",
        "--out", str(out), secrets={"--secrets-fd": reader.secrets(**typed)},
    )  # fmt: skip
    assert list(place.iterdir()) == []
    return said


def last_access(archive: Archive) -> dict[str, Any]:
    """The newest entry of the access log about that recording."""
    return [e for e in scene.entries(archive.product, "access") if e.get("rec_id") == archive.rec_id][-1]


# --- readers ----------------------------------------------------------------------------------------------------------


@pytest.mark.promise("0.2", "0.6", "2.9", "2.10")
def test_a_reader_opens_it_and_that_is_written_down(archive: Archive, tmp_path: Path):
    channels = archive.reader.export(archive.product, archive.rec_id, tmp_path, reason="case 12: a complaint")
    assert scene.heard_in(channels[:, 0]) == {"caller"} and scene.heard_in(channels[:, 1]) == {"callee"}
    done = [e for e in scene.entries(archive.product, "access") if e.get("rec_id") == archive.rec_id]
    assert [e["action"] for e in done[-3:]] == ["unlock", "export", "stop"]
    for entry in done[-3:]:
        assert (entry["outcome"], entry["purpose"]) == ("done", "REC_QUALITY")
        assert {"actor_id", "person_id", "workstation", "reason_id", "at"} <= entry.keys()
        assert "complaint" not in json.dumps(entry)


@pytest.mark.promise("0.2")
def test_a_code_counts_once(archive: Archive, tmp_path: Path):
    place = tmp_path / "good"
    place.mkdir()
    archive.reader.export(archive.product, archive.rec_id, place)
    code = pyotp.TOTP(archive.reader.totp_secret).generate_otp(archive.reader.used)
    place = tmp_path / "again"
    place.mkdir()
    try_export(archive, archive.reader, place, code=code)
    assert last_access(archive)["outcome"] == "replayed"


@pytest.mark.promise("0.2", "4.1")
def test_half_of_what_a_reader_types_opens_nothing_and_guessing_is_locked_out(archive: Archive, tmp_path: Path):
    careless, wrong = archive.people["careless"], "not the passphrase of anybody"
    other_code = pyotp.TOTP(archive.reader.totp_secret).now()
    attempts = [
        {"code": "000000"},
        {"passphrase": wrong},
        {"passphrase": wrong, "code": "000000"},
        {"code": other_code},
    ]
    said = {try_export(archive, careless, tmp_path, **attempt) for attempt in attempts}
    assert len(said) == 1  # nobody learns which half was right
    assert last_access(archive)["outcome"] == "wrong"
    try_export(archive, careless, tmp_path, code="000000")
    # From the fifth on even the right ones are refused for a while.
    assert "locked" in try_export(archive, careless, tmp_path)
    assert last_access(archive)["outcome"] == "locked"


@pytest.mark.promise("0.4", "1.10", "2.18")
@pytest.mark.parametrize(
    ("who", "told"),
    [
        ("other", "has no right to listen to REC_QUALITY"),
        ("chief", "has no right to listen to REC_QUALITY"),
        ("late", "was never given to this reader"),
    ],
)
def test_without_the_right_for_that_purpose_at_that_time_it_stays_closed(
    archive: Archive, who: str, told: str, tmp_path: Path
):
    assert told in try_export(archive, archive.people[who], tmp_path)
    assert last_access(archive)["outcome"] == "denied"
    with scene.database(archive.product) as db:
        query = "SELECT count(*) FROM kek_wraps JOIN people ON people.id = reader_id JOIN keks ON keks.id = kek_id"
        held = db.execute(query + " WHERE login = ? AND purpose = 'REC_QUALITY'", (who,)).fetchone()
    assert held[0] == 0  # not a matter of a check alone: there is nothing to open it with


@pytest.mark.promise("0.4")
@pytest.mark.parametrize("role", ["admin", "dpo", "auditor", "employee"])
def test_no_role_is_a_right_and_a_right_without_the_role_is_none(archive: Archive, role: str, tmp_path: Path):
    product = archive.product
    product.cli("person", "add", f"mere-{role}", role, "--roles", role)
    scene.run_cli(product.data, "person", "grant", f"mere-{role}", "REC_QUALITY")
    nobody = Reader(f"mere-{role}", "a passphrase of nobody at all", archive.reader.totp_secret)
    assert "no right" in try_export(archive, nobody, tmp_path)


@pytest.mark.promise("0.4", "3.8")
def test_a_revoked_right_takes_its_keys_with_it(archive: Archive, tmp_path: Path):
    product, revoked = archive.product, archive.people["revoked"]
    with scene.database(product) as db:
        query = "SELECT blob FROM kek_wraps JOIN people ON people.id = reader_id WHERE login = 'revoked'"
        wraps = [row["blob"] for row in db.execute(query)]
    assert wraps and product.traces({"wrap": wraps[0]})
    product.cli("person", "revoke", "revoked", "REC_QUALITY")
    assert "has no right" in try_export(archive, revoked, tmp_path)
    assert product.traces({"wrap": wraps[0]}) == {}  # in no byte of the database's files either
    # Granted again it is a right to what comes, not to what was.
    product.cli("person", "grant", "revoked", "REC_QUALITY")
    assert "never given" in try_export(archive, revoked, tmp_path)


@pytest.mark.promise("0.4", "3.8")
def test_who_is_disabled_opens_nothing(archive: Archive, tmp_path: Path):
    archive.product.cli("person", "disable", "disabled")
    assert "is disabled" in try_export(archive, archive.people["disabled"], tmp_path)


@pytest.mark.promise("2.9", "0.6")
def test_without_a_reason_nothing_opens(archive: Archive, tmp_path: Path):
    out = tmp_path / "out.ogg"
    said = scene.refused(
        archive.product, "recordings", "export", archive.rec_id, "--as", "reader", "--reason", "why", "--out", str(out),
        secrets={"--secrets-fd": archive.reader.secrets(code="000000")},
    )  # fmt: skip
    assert "reason" in said and not out.exists()


@pytest.mark.promise("2.11")
def test_a_file_that_was_altered_is_not_opened(archive: Archive, tmp_path: Path):
    """Of a recording of its own, so that the others stay sound."""
    product = archive.product
    rec_id = record_one(product)
    path = scene.sealed_file(product, rec_id)
    sealed = bytearray(path.read_bytes())
    sealed[len(sealed) // 2] ^= 1
    path.write_bytes(sealed)
    altered = Archive(product, rec_id, archive.reader, {})
    assert "not what was sealed" in try_export(altered, archive.reader, tmp_path)
    [verdict] = json.loads(scene.run_cli(product.data, "recordings", "verify", rec_id, "--json").stdout)
    assert not verdict["sound"]
    sealed[len(sealed) // 2] ^= 1
    path.write_bytes(sealed)


# --- root with every file ---------------------------------------------------------------------------------------------


@pytest.mark.promise("0.1", "L9")
@pytest.mark.timeout(180)
def test_root_with_every_file_and_no_passphrase_opens_nothing(archive: Archive):
    burglar = Burglar(archive.product, archive.rec_id)
    # The tools are good: with what is on the escrow sheet they open it.
    assert burglar.as_seed(key_tools.escrow_seed(archive.product.shown["escrow"]))
    # And he found what there is to be found.
    assert burglar.fields and {"keys/field.key", "keys/ledger.key", "keys/proof.key"} <= burglar.files.keys()
    assert any(b"101" in field for field in burglar.fields)  # numbers, with the key that lies beside them
    # Every 32 bytes as the recording's key; every whole secret as a seed, a reader's or a week's key.
    assert not [piece for piece in burglar.windows(32) if burglar.open(piece)]
    assert not [seed for seed in burglar.exact(32) if burglar.as_seed(seed)]
    secrets = [b"\x01" + s if len(s) == 96 else s for size in (96, 97) for s in burglar.exact(size)]
    assert not [s for s in secrets if burglar.as_reader(s) or burglar.as_kek(s)]
    # Every text as a passphrase, as far as a test may take.
    assert not [text for text in burglar.passphrases(8) if burglar.guess(text)]


@pytest.mark.promise("L9", "0.1")
def test_nothing_that_opens_lies_on_the_disk(archive: Archive):
    """Passphrases, second factors, the escrow text, the secrets they protect: shown once, kept nowhere."""
    shown, product = archive.product.shown, archive.product
    seed = key_tools.escrow_seed(shown["escrow"])
    wanted = {
        "escrow text": shown["escrow"].encode(),
        "escrow text without spaces": shown["escrow"].replace(" ", "").replace("-", "").encode(),
        "escrow seed": seed,
        "escrow secret": key_tools.escrow_pair(seed)[1][1:],
    }
    for reader in (archive.reader, *archive.people.values()):
        wanted[f"passphrase of {reader.login}"] = reader.passphrase.encode()
        wanted[f"second factor of {reader.login}"] = reader.totp_secret.encode()
    for device in shown["devices"]:
        wanted[f"password of {device['user']}"] = device["password"].encode()
    assert product.traces(wanted) == {}
