"""A provider's challenge to a text."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sip.edge.digest import credentials
from tests.peers.sipclient import ha1

FACTS = {"user": "Mufasa", "realm": "testrealm@host.com", "method": "GET", "uri": "/dir/index.html"}
SECRET = ha1("Mufasa", "testrealm@host.com", "Circle Of Life")
NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"
OPAQUE = "5ccc069c403ebaf9f0171e9517f40e41"


def met(challenge: str, **bent: str) -> str | None:
    return credentials(challenge, **(FACTS | {"ha1": SECRET, "cnonce": "0a4f113b"} | bent))


def test_the_example_of_rfc_2617() -> None:
    value = met(f'Digest realm="testrealm@host.com", qop="auth,auth-int", nonce="{NONCE}", opaque="{OPAQUE}"')
    assert value is not None
    assert 'response="6629fae49393a05397450978507c4ef1"' in value
    assert f'opaque="{OPAQUE}"' in value and "nc=00000001" in value and "qop=auth," in value


def test_an_old_challenge_without_qop() -> None:
    value = met(f'digest nonce={NONCE},realm="testrealm@host.com",algorithm=MD5')
    assert value is not None
    assert re.search(r'response="670fd8c2df070c60b045671b8b24ff02"', value)  # RFC 2069 errata 749
    assert "qop" not in value and "cnonce" not in value


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Basic realm=x",
        f'Digest realm="another", nonce="{NONCE}"',
        'Digest realm="testrealm@host.com"',
        f'Digest realm="testrealm@host.com", nonce="{NONCE}", algorithm=SHA-256',
        f'Digest realm="testrealm@host.com", nonce="{NONCE}", qop="auth-int"',
        'Digest realm="testrealm@host.com", nonce="a\\"b"',
    ],
)
def test_what_is_not_answered(challenge: str) -> None:
    assert met(challenge) is None


@given(st.text())
def test_nothing_that_a_provider_writes_becomes_a_second_header(challenge: str) -> None:
    for text in (challenge, f'Digest realm="testrealm@host.com", nonce="{challenge}"'):
        value = met(text)
        assert value is None or not re.search(r"[\r\n]", value)
