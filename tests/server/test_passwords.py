"""What a password has to be, and what it is checked against."""

from __future__ import annotations

import pytest

from server import passwords


@pytest.mark.parametrize(
    "weak",
    ["", "short", "elevenchars", "alicealicealice", "ALICEalice1234", "aaaaaaaaaaaaaaaa", "abababababab",
     "123456789012", "abcdefghijklm", "nopqrstuvwxyz", "password1234", "Motdepasse2026!", "azertyuiop123",
     "welcome-beffroi-1", "Password Password", "x" * 257, "seven otters\0ate", "seven otters\ud800ate"],
)  # fmt: skip
def test_weak(weak: str) -> None:
    said = passwords.weakness(weak, "alice")
    assert said
    assert len(weak) < 5 or weak not in said


@pytest.mark.parametrize(
    "good",
    ["seven otters ate my umbrella", "мой длинный пароль", "correct staple 91 battery", "tr0ub4dor&3-zebra",
     "alice likes seven otters", "k3f9-29qx-m4tt", "7391 5820 4716 2938", "ぬるぽガッありがとうございます",
     "seven otters " * 6, " seven otters ate ", ("seven otters ate my umbrella " * 9)[:256]],
)  # fmt: skip
def test_good(good: str) -> None:
    assert passwords.weakness(good, "alice") == ""


@pytest.mark.parametrize("typed", [" Seven otters ate ", ("seven otters ate my umbrella " * 9)[:256]])
def test_every_letter_counts(typed: str) -> None:
    """Nothing is cut, trimmed or folded."""
    kept = passwords.verifier(typed)
    assert passwords.proves(typed, kept)
    for other in (
        typed.strip(),
        typed[:-1],
        typed[:72],
        typed.upper(),
        typed.lower() if typed != typed.lower() else "",
    ):
        assert other == typed or not passwords.proves(other, kept), other


def test_what_is_kept_has_its_parameters_and_a_salt_of_its_own() -> None:
    one, two = passwords.verifier("seven otters ate"), passwords.verifier("seven otters ate")
    assert one != two
    assert one.startswith(b"$argon2id$v=19$m=19456,t=2,p=1$")
    assert passwords.proves("seven otters ate", one)
    assert not passwords.proves("seven otters eat", one)
    assert not passwords.proves("seven otters ate", None)
    assert not passwords.is_outdated(one)


def test_one_with_other_parameters_is_still_right_and_outdated() -> None:
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    kdf = Argon2id(salt=b"s" * 16, length=32, iterations=1, lanes=1, memory_cost=8)
    old = kdf.derive_phc_encoded(b"seven otters ate").encode()
    assert passwords.proves("seven otters ate", old)
    assert passwords.is_outdated(old)
