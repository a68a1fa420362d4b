"""Keys, bundles, escrow, proofs: what the vectors do not already say."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta

import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from recording import keys
from recording.credentials import BadCredentials, check, matching_step
from recording.proof import ProofError, ProofToken, sign, verify
from recording.reader_bundle import ReaderSecret, WeakPassphrase, open_reader, reader_id_of, seal_reader

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
PASSPHRASE = "ça ira très bien, merci"


def a_reader() -> ReaderSecret:
    return ReaderSecret("reader-1", keys.generate_reader()[1], pyotp.random_base32())


def test_sizes_are_those_of_the_document() -> None:
    public, secret = keys.generate_kek()
    assert (len(public), len(secret)) == (keys.PUBLIC_BYTES, keys.SECRET_BYTES)
    assert len(keys.wrap_kek(secret, public, kek_id="k", reader_id="r")) == 1234
    assert keys.algorithm(public).startswith("hpke-mlkem768x25519")
    assert keys.public_of(secret) == public
    with pytest.raises(keys.MalformedKey):
        keys.algorithm(b"\x02")


@pytest.mark.parametrize("bad", [b"", b"\x01", b"\x02" + bytes(1216), b"\x01" + b"\xff" * 1216])
def test_what_is_no_key_is_refused(bad: bytes) -> None:
    with pytest.raises(keys.MalformedKey):
        keys.wrap_kek(bytes(97), bad, kek_id="k", reader_id="r")


@pytest.mark.promise("0.1")
def test_a_bundle_holds_neither_secret_in_clear() -> None:
    reader = a_reader()
    bundle = seal_reader(reader, PASSPHRASE)
    assert reader.totp_secret.encode() not in bundle and reader_id_of(bundle) == "reader-1"
    assert open_reader(bundle, "c\u0327a ira tre\u0300s bien, merci") == reader, "however the accents were typed"
    assert reader.totp_secret not in repr(reader)
    with pytest.raises(WeakPassphrase):
        seal_reader(reader, "too short")


@pytest.mark.parametrize("bad", [b"", b"[]", b"{}", b"null", b'{"alg":"argon2id-aes256gcm","v":1}', b"\xff"])
def test_what_is_no_bundle_is_refused(bad: bytes) -> None:
    with pytest.raises(keys.MalformedKey):
        open_reader(bad, PASSPHRASE)


def test_a_bundle_cannot_be_made_cheaper_to_guess() -> None:
    bundle = json.loads(seal_reader(a_reader(), PASSPHRASE))
    with pytest.raises(keys.MalformedKey):
        open_reader(json.dumps(bundle | {"memory_kib": 64}).encode(), PASSPHRASE)


@given(st.binary(min_size=32, max_size=32))
def test_escrow_text_round_trip(seed: bytes) -> None:
    text = keys.escrow_text(seed)
    assert keys.escrow_seed(text) == seed == keys.escrow_seed(text.lower().replace("-", ""))
    assert [len(group) for group in text.split("-")] == [4] * 14


@given(st.binary(min_size=32, max_size=32), st.integers(0, 55), st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"))
def test_any_single_letter_mistyped_is_found(seed: bytes, at: int, letter: str) -> None:
    letters = keys.escrow_text(seed).replace("-", "")
    if letters[at] != letter:
        with pytest.raises(keys.EscrowTextError):
            keys.escrow_seed(letters[:at] + letter + letters[at + 1 :])


def test_escrow_opens_what_was_wrapped_to_it() -> None:
    seed = keys.new_escrow_seed()
    public, _ = keys.escrow_pair(seed)
    _, kek_secret = keys.generate_kek()
    wrap = keys.wrap_kek(kek_secret, public, kek_id="k", reader_id="escrow")
    _, again = keys.escrow_pair(keys.escrow_seed(keys.escrow_text(seed)))
    assert keys.unwrap_kek(wrap, again, kek_id="k", reader_id="escrow") == kek_secret


@pytest.mark.promise("0.2")
def test_a_code_counts_once_and_within_a_step() -> None:
    reader = a_reader()
    bundle, totp = seal_reader(reader, PASSPHRASE), pyotp.TOTP(reader.totp_secret)
    code, step = totp.at(NOW), int(NOW.timestamp()) // 30
    assert check(bundle, PASSPHRASE, code, last_step=0, now=NOW) == (reader, step)
    for late_s, found in ((29, step), (31, step), (-30, step), (61, None), (-61, None)):
        assert matching_step(reader.totp_secret, code, NOW + timedelta(seconds=late_s)) == found
    for last_step, typed, passphrase, why in (
        (step, code, PASSPHRASE, "replay"),
        (0, "000000" if code != "000000" else "111111", PASSPHRASE, "credentials"),
        (0, "", PASSPHRASE, "credentials"),
        (0, "é", PASSPHRASE, "credentials"),
        (0, code, "another passphrase", "credentials"),
    ):
        with pytest.raises(BadCredentials) as bad:
            check(bundle, passphrase, typed, last_step=last_step, now=NOW)
        assert bad.value.why == why


def a_token(**changes: object) -> ProofToken:
    values: dict[str, object] = {
        "rec_id": secrets.token_hex(16),
        "call_id": secrets.token_hex(16),
        "purpose": "quality",
        "legs": ("a", "b"),
        "ledger_seqs": (1, 2),
        "expires_at": NOW + timedelta(seconds=30),
    }
    return ProofToken(**(values | changes))  # type: ignore[arg-type]


@pytest.mark.promise("L1")
def test_a_proof_says_what_was_signed() -> None:
    signer = Ed25519PrivateKey.generate()
    token = a_token()
    blob = sign(token, signer)
    assert verify(blob, signer.public_key(), NOW) == token
    assert sign(token, signer) == blob, "canonical"
    with pytest.raises(ProofError, match="expired"):
        verify(blob, signer.public_key(), token.expires_at)


@pytest.mark.promise("L1")
@given(st.data())
@settings(max_examples=200)
def test_no_altered_proof_is_believed(data: st.DataObject) -> None:
    signer = Ed25519PrivateKey.generate()
    blob = bytearray(sign(a_token(), signer))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProofError):
        verify(bytes(blob), signer.public_key(), NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"legs": ()},
        {"ledger_seqs": ()},
        {"ledger_seqs": (-1,)},
        {"ledger_seqs": (True,)},
        {"purpose": "two words"},
        {"rec_id": "../x"},
        {"expires_at": datetime(2026, 11, 21)},  # noqa: DTZ001
    ],
)
def test_a_proof_without_substance_is_not_signed(changes: dict[str, object]) -> None:
    with pytest.raises(ProofError):
        sign(a_token(**changes), Ed25519PrivateKey.generate())
