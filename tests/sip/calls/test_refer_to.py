"""Where a REFER points to."""

from __future__ import annotations

import pytest

from sip.calls import refer_to


@pytest.mark.parametrize(
    ("text", "user", "call_id"),
    [
        ("<sip:103@test.lan>", "103", None),
        ('"Carol" <sips:%2B33123@test.lan;transport=tls?Subject=x>', "+33123", None),
        ("sip:103:pw@test.lan", "103", None),
        ("sip:103@x?Replaces=a%40b%3Bfrom-tag%3D1%3Bto-tag%3D2", "103", "a@b"),
        ("sip:103@x?X=1&replaces=a%3Bto-tag%3D2%3Bfrom-tag%3D1", "103", "a"),
    ],
)
def test_refer_to(text: str, user: str, call_id: str | None) -> None:
    found = refer_to.parse(text)
    assert found is not None and found.user == user
    assert (found.replaces.call_id if found.replaces else None) == call_id
    if found.replaces:
        assert found.replaces.tags == {"1", "2"}
