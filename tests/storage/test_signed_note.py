import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from storage import signed_note

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
PUBLIC = KEY.public_key()
TEXT = "beffroi/consent/2026-11-21\n3\nAAAA\n"


def test_a_note_is_written_as_c2sp_says() -> None:
    text, line = signed_note.sign(TEXT, KEY).split("\n\n")
    assert text + "\n" == TEXT
    dash, name, encoded = line.rstrip("\n").split(" ")
    assert (dash, name) == ("\u2014", "beffroi/ledger")
    raw = base64.b64decode(encoded, validate=True)
    assert raw[:4] == hashlib.sha256(b"beffroi/ledger\n\x01" + PUBLIC.public_bytes_raw()).digest()[:4]
    PUBLIC.verify(raw[4:], TEXT.encode())
    assert signed_note.verified_text(signed_note.sign(TEXT, KEY), PUBLIC) == TEXT


def test_any_other_character_anywhere_and_any_cut_is_refused() -> None:
    note = signed_note.sign(TEXT, KEY)
    for place, character in enumerate(note):
        for other in {"A", "B", "0", "\n", " ", chr(ord(character) + 1)} - {character}:
            assert signed_note.verified_text(note[:place] + other + note[place + 1 :], PUBLIC) is None, (place, other)
        assert signed_note.verified_text(note[:place], PUBLIC) is None
        assert signed_note.verified_text(note[:place] + "A" + note[place:], PUBLIC) is None
    assert signed_note.verified_text(note + "\n", PUBLIC) is None


def test_another_keys_note_is_refused() -> None:
    assert signed_note.verified_text(signed_note.sign(TEXT, Ed25519PrivateKey.generate()), PUBLIC) is None
