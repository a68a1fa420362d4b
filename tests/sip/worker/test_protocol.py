"""Every message goes through a packet and comes back the same; whatever else arrives is refused as a whole."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import Any, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.worker import protocol as p

KINDS = [*p.Command.__args__, *p.Event.__args__]
_TYPES: dict[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=40),
    int: st.integers(-(2**40), 2**40),
    bool: st.booleans(),
    dict[str, str]: st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=4),
}


def any_of(kind: type) -> st.SearchStrategy[Any]:
    hints = get_type_hints(kind)
    return st.builds(kind, **{field.name: _TYPES[hints[field.name]] for field in dataclasses.fields(kind)})


@given(st.one_of([any_of(kind) for kind in KINDS]))
def test_a_message_comes_back_as_it_was_sent(message: Any) -> None:
    packet = p.encode(message)
    assert p.decode(packet) == message
    assert type(p.decode(packet)) is type(message)
    assert len(packet) < p.MAX_PACKET_BYTES


def test_no_two_messages_have_one_name() -> None:
    names = [kind.__name__ for kind in KINDS]
    assert len(names) == len(set(names))


def test_the_end_of_a_worker_is_never_sent() -> None:
    """Only the pool may say that a worker is gone: a packet that claims it is none of the protocol."""
    with pytest.raises(p.ProtocolError):
        p.decode(b'{"t": "WorkerGone"}')


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"Leave"',
        b"{}",
        b'{"t": null}',
        b'{"t": "Nothing"}',
        b'{"t": ["Leave"]}',
        b'{"t": "Leave", "leg": "a"}',  # too much
        b'{"t": "Play", "leg": "a"}',  # too little
        b'{"t": "Leave"',  # cut
        b'{"t": "Leave"} {"t": "Leave"}',
    ],
)
def test_what_is_no_message_is_refused(packet: bytes) -> None:
    with pytest.raises(p.ProtocolError) as refused:
        p.decode(packet)
    assert "a" * 3 not in str(refused.value)


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else(packet: bytes) -> None:
    with contextlib.suppress(p.ProtocolError):
        p.decode(packet)


_LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
_JSON = st.recursive(_LEAVES, lambda s: st.lists(s) | st.dictionaries(st.text(max_size=5), s), max_leaves=10)


@given(_JSON)
def test_json_that_is_no_message_is_refused_and_nothing_else(value: Any) -> None:
    with contextlib.suppress(p.ProtocolError):
        p.decode(json.dumps(value).encode())


def test_an_error_holds_nothing_of_what_was_sent() -> None:
    with pytest.raises(p.ProtocolError) as refused:
        p.decode(b'{"t": "Dial", "user": "0612345678"}')
    assert "0612345678" not in str(refused.value)
