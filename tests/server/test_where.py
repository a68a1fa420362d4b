"""Where a phone is: host and port as a contact names them, masked wherever the port is missing."""

from __future__ import annotations

import pytest

from server.services.devices import where


@pytest.mark.promise("3.4")
@pytest.mark.parametrize(
    ("uri", "clear"),
    [
        ("sip:alice@192.0.2.7:5061;transport=tls", "192.0.2.7:5061"),
        ("sip:192.0.2.7", "192.0.2.7"),
        ("sip:alice@192.0.2.7;ob", "192.0.2.7"),
        ("sip:[2001:db8::7]:5061", "[2001:db8::7]:5061"),
        ("sip:[2001:db8::7]", "[2001:db8::7]"),
    ],
)
def test_a_place_is_masked_with_and_without_a_port(uri: str, clear: str) -> None:
    assert where(uri, masked=False) == clear
    masked = where(uri, masked=True)
    assert "192.0.2.7" not in masked and "2001:db8::7" not in masked
    assert masked.endswith(":5061") is (":5061" in uri)
