"""What is refused from a browser, and where it is never sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.web import security
from server.web.cookies import packed, said, unpacked

ORIGIN = "https://phone.example.org:8443"


@pytest.mark.parametrize(
    "wanted",
    [
        None, "", "calls", "//evil.example", "/\\evil.example", "\\\\evil.example", "https://evil.example/",
        "javascript:alert(1)", "/\t/evil.example", "/a\nb", "/x\\..", "/é", "/" + "a" * 600, " /a",
    ],
)  # fmt: skip
def test_nobody_is_sent_elsewhere(wanted: str | None) -> None:
    assert security.local_path(wanted) == "/"


@pytest.mark.parametrize(
    "wanted", ["/", "/calls", "/calls?line=sales&page=2", "/a/b#c", "/x?next=https://evil.example"]
)
def test_paths_of_ours_stay(wanted: str) -> None:
    assert security.local_path(wanted) == wanted


@pytest.mark.parametrize(
    ("sent", "foreign"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": ORIGIN}, False),
        ({"Origin": ORIGIN}, False),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "https://phone.example.org"}, True),
        ({"Origin": "http://phone.example.org:8443"}, True),
        ({}, False),
    ],
)
def test_forms_of_other_sites_are_refused(sent: dict[str, str], foreign: bool) -> None:
    assert security.is_foreign(sent, ORIGIN) is foreign


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("phone.example.org:8443", True),
        ("PHONE.example.org:8443", True),
        ("phone.example.org", False),
        ("192.0.2.1:8443", False),
        ("evil.example:8443", False),
        ("", False),
    ],
)
def test_only_our_own_name_is_served(host: str, ours: bool) -> None:
    assert security.is_our_host(host, ORIGIN) is ours


def test_a_form_token_belongs_to_its_session() -> None:
    one, other = security.form_token("one"), security.form_token("one")
    assert one != other
    assert security.is_form_token(one, "one")
    assert security.is_form_token(other, "one")
    assert not security.is_form_token(one, "two")


@given(st.text(max_size=120))
def test_whatever_is_no_form_token_is_refused(text: str) -> None:
    assert not security.is_form_token(text, "secret")


@pytest.mark.parametrize(
    ("peer", "forwarded", "source"),
    [
        ("192.0.2.9", [], "192.0.2.9"),
        ("192.0.2.9", ["198.51.100.1"], "192.0.2.9"),  # not a proxy of ours: not believed
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.7, 198.51.100.1"], "198.51.100.1"),  # what a client wrote itself stands further left
        ("10.0.0.1", ["198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["<script>"], "10.0.0.1"),
        ("10.0.0.1", [], "10.0.0.1"),
    ],
)
def test_who_asks_behind_a_proxy(peer: str, forwarded: list[str], source: str) -> None:
    assert security.source_of(peer, forwarded, ["10.0.0.0/8"]) == source


def test_the_policy_knows_no_other_origin_and_no_inline_script() -> None:
    assert "default-src 'none'" in security.POLICY
    assert "unsafe" not in security.POLICY
    assert "http" not in security.POLICY
    assert security.headers("localhost").keys() < security.headers("phone.example.org").keys()


@given(st.text(max_size=300))
def test_a_cookie_of_somebody_else_says_nothing(text: str) -> None:
    assert isinstance(unpacked(text), dict)
    assert said(text) is None


def test_a_message_comes_back() -> None:
    read = said(packed({"kind": "good", "text": "L’été <b>"}))
    assert read is not None
    assert read.text == "L’été <b>"
