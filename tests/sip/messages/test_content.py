"""What is a text, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.messages.content import Garbled, Notice, Unsupported, Words, read
from sip.messages.pieces import PIECES_MAX, UDP_MAX_BYTES, split

CPIM = (
    "From: <sip:mallory@elsewhere.test>\r\nTo: <sip:bob@test.lan>\r\nDateTime: 2026-11-28T22:00:00Z\r\n"
    "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: 34jk324j\r\n"
    "imdn.Disposition-Notification: positive-delivery, display\r\n\r\n{}\r\n\r\n{}"
)


@pytest.mark.parametrize(
    ("kind", "body", "words"),
    [
        ("text/plain", "Été 👍".encode(), "Été 👍"),
        ("text/plain;charset=UTF-8", "Ça".encode(), "Ça"),
        ('Text/Plain; charset="utf-8"; format=flowed', b"a", "a"),
        ("text/plain;charset=us-ascii", b"a", "a"),
        ("text/plain;charset=ISO-8859-1", "Été".encode("latin-1"), "Été"),
        ("", b"no type at all", "no type at all"),
        ("text/plain", b"one\r\ntwo\rthree\x00\x1b[2J\tx", "one\ntwo\nthree[2J\tx"),
        ("message/cpim", CPIM.format("Content-Type: text/plain; charset=utf-8", "Réunion").encode(), "Réunion"),
        ("Message/CPIM", CPIM.format("Content-type: text/plain", "a\r\n\r\nb").encode(), "a\n\nb"),
        ("message/cpim", CPIM.replace("\r\n", "\n").format("Content-Type: text/plain", "a").encode(), "a"),
        ("message/cpim", b"To: <sip:bob@test.lan>\r\n\r\n\r\nno inner headers", "no inner headers"),
    ],
)
def test_words(kind: str, body: bytes, words: str) -> None:
    assert read(kind, body) == Words(words)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    "kind", ["text/html", "application/im-iscomposing+xml", "text/plain;charset=utf-16", "image/png", "multipart/mixed"]
)
def test_what_is_no_text_of_ours(kind: str, wrapped: bool) -> None:
    body = CPIM.format(f"Content-Type: {kind}", "x").encode() if wrapped else b"x"
    assert read("message/cpim" if wrapped else kind, body) == Unsupported()


def test_a_wrapper_in_a_wrapper_and_an_encoding_inside() -> None:
    assert read("message/cpim", CPIM.format("Content-Type: message/cpim", CPIM).encode()) == Unsupported()
    inner = "Content-Type: text/plain\r\nContent-Transfer-Encoding: base64"
    assert read("message/cpim", CPIM.format(inner, "YQ==").encode()) == Unsupported()


def test_a_delivery_notice_is_taken_and_means_nothing() -> None:
    assert read("message/imdn+xml", b"<imdn/>") == Notice()
    assert read("message/cpim", CPIM.format("Content-Type: message/imdn+xml", "<imdn/>").encode()) == Notice()


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b""),
        ("text/plain", b" \r\n\x00"),
        ("text/plain;charset=utf-8", "Été".encode("latin-1")),
        ("message/cpim", b"no headers at all"),
        ("message/cpim", b"To: <sip:bob@test.lan>\r\n\r\nContent-Type: text/plain"),
    ],
)
def test_what_is_not_what_it_says(kind: str, body: bytes) -> None:
    assert read(kind, body) == Garbled()


@given(st.text(max_size=60), st.binary(max_size=300))
def test_nothing_that_a_peer_writes_breaks_it(kind: str, body: bytes) -> None:
    found = read(kind, body)
    assert not isinstance(found, Words) or (found.body.strip() and "\r" not in found.body and "\x00" not in found.body)
    read("message/cpim", body)
    assert "body" not in repr(found)


WORDS = st.lists(st.text(alphabet="aé€👍\u0301", min_size=1, max_size=30), max_size=200).map(" ".join)


@given(WORDS, st.integers(40, UDP_MAX_BYTES))
def test_pieces_fit_are_numbered_and_lose_no_word(text: str, size: int) -> None:
    try:
        pieces = split(text, size)
    except ValueError:
        assert len(text.encode()) > (PIECES_MAX - 1) * (size - 12) // 2
        return
    assert all(len(piece.encode()) <= size for piece in pieces)
    if len(pieces) == 1:
        assert pieces == (text,)
        return
    marks, bare = zip(*(piece.split(" ", 1) for piece in pieces), strict=True)
    assert marks == tuple(f"({n}/{len(pieces)})" for n in range(1, len(pieces) + 1))
    assert "".join("".join(bare).split()) == "".join(text.split())


def test_pieces_end_between_words_and_never_within_a_sign() -> None:
    assert split("one two three four five six", 20) == ("(1/3) one two", "(2/3) three four", "(3/3) five six")
    for piece in split("👩🏽" * 40, 60):
        assert not piece.split(" ")[1].startswith("🏽")
