import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import Invalid, SealBroken
from storage.field_crypto import FieldKeys

KEYS = FieldKeys.generate()
PLACE = ("people", "display_name", "ab" * 16)


@given(st.binary(max_size=200))
def test_what_is_sealed_opens_at_its_place(plaintext: bytes) -> None:
    sealed = KEYS.seal(*PLACE, plaintext)
    assert KEYS.open(*PLACE, sealed) == plaintext
    assert len(plaintext) < 4 or plaintext not in sealed


@pytest.mark.parametrize(
    "elsewhere",
    [
        ("accounts", "display_name", "ab" * 16),
        ("people", "login", "ab" * 16),
        ("people", "display_name", "cd" * 16),
        ("peopled", "isplay_name", "ab" * 16),
    ],
)
def test_a_value_moved_elsewhere_does_not_open(elsewhere: tuple[str, str, str]) -> None:
    with pytest.raises(SealBroken):
        KEYS.open(*elsewhere, KEYS.seal(*PLACE, b"Alice"))


def test_a_flip_of_any_bit_and_any_truncation_is_refused() -> None:
    sealed = KEYS.seal(*PLACE, b"Alice")
    for bit in range(len(sealed) * 8):
        altered = bytearray(sealed)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SealBroken):
            KEYS.open(*PLACE, bytes(altered))
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            KEYS.open(*PLACE, sealed[:length])


def test_sealing_twice_gives_two_texts() -> None:
    assert KEYS.seal(*PLACE, b"Alice") != KEYS.seal(*PLACE, b"Alice")


def test_an_older_key_still_opens_and_the_newest_seals() -> None:
    old = KEYS.seal(*PLACE, b"Alice")
    rotated = KEYS.rotated()
    assert rotated.open(*PLACE, old) == b"Alice"
    new = rotated.seal(*PLACE, b"Alice")
    with pytest.raises(SealBroken):
        KEYS.open(*PLACE, new)


def test_the_index_finds_under_every_kept_key() -> None:
    rotated = KEYS.rotated()
    kept = rotated.blind_index_all_versions("number", "+33170180000")
    assert KEYS.blind_index("number", "+33170180000") in kept
    assert rotated.blind_index("number", "+33170180000") == kept[0]
    assert rotated.blind_index("number", "+33170180001") not in kept
    assert rotated.blind_index("suppression", "+33170180000") not in kept
    assert FieldKeys.generate().blind_index("number", "+33170180000") not in kept


def test_keys_survive_their_json_and_do_not_show_in_repr() -> None:
    again = FieldKeys.from_json(KEYS.rotated().rotated().to_json())
    assert again.open(*PLACE, KEYS.seal(*PLACE, b"Alice")) == b"Alice"
    assert repr(again) == "FieldKeys(versions=[1, 2, 3])"


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"{}",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": {"1": "AAAA"}}',
        b'{"keys": {"x": ""}}',
        b'{"keys": [1]}',
        b'{"keys": {"0": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}}',
        b"\xff",
    ],
)
def test_a_broken_key_file_is_named(blob: bytes) -> None:
    with pytest.raises(Invalid, match=r"field\.key"):
        FieldKeys.from_json(blob)
