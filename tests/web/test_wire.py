"""What the portal says and takes below its pages: TLS, methods, frames of requests, what every answer is."""

from __future__ import annotations

import re
import socket
import ssl
from urllib.parse import urlencode

import pytest

from tests.web.portal import HOST, LOCAL, PASSWORD, Portal
from tests.web.test_matrix import GETS, has, path

FRAMES = {
    "two lengths": "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "a length and chunks": "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a length with a sign": "Content-Length: +5\r\n\r\nhello",
    "chunks that are none": "Transfer-Encoding: chunked\r\n\r\nxyz\r\nhello\r\n0\r\n\r\n",
    "an encoding that is none": "Transfer-Encoding: xchunked\r\n\r\nhello",
    "a header that is folded": "X-Odd: a\r\n b\r\n\r\n",
    "a blank before the colon": "Content-Length : 5\r\n\r\nhello",
}


def raw(portal: Portal, request: str, tls: ssl.SSLContext | None = None) -> bytes:
    """All that comes back until the server closes."""
    plain = socket.create_connection((LOCAL, portal.product.web_port), timeout=20)
    with plain, (tls or portal.tls).wrap_socket(plain, server_hostname=HOST) as line:
        line.sendall(request.encode())
        said = b""
        while some := line.recv(65536):
            said += some
        return said


def test_each_answer_says_what_it_is(portal: Portal) -> None:
    """With its charset; a browser guesses nothing."""
    visitors = {role: portal.visitor(who) for role, who in portal.people.items()}
    for route in GETS:
        role = next((role for role in sorted(visitors) if has(role, route)), "employee")
        answer = visitors[role].get(path(route))
        if not answer.text:
            continue
        kind = answer.headers.get("Content-Type", "")
        assert answer.headers["X-Content-Type-Options"] == "nosniff", route.path
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin", route.path
        assert kind and (not kind.startswith("text/") or "charset=utf-8" in kind.lower()), (route.path, kind)


@pytest.mark.parametrize("what", FRAMES)
def test_a_request_whose_end_is_in_doubt_is_refused(portal: Portal, what: str) -> None:
    """And the connection ends with it, so that nothing is taken for a second request (request smuggling)."""
    second = f"GET /sign-in HTTP/1.1\r\nHost: {portal.authority}\r\n\r\n"
    said = raw(portal, f"POST /sign-in HTTP/1.1\r\nHost: {portal.authority}\r\n{FRAMES[what]}{second}")
    assert said.startswith(b"HTTP/1.1 400 ") or said.startswith(b"HTTP/1.0 400 "), said[:100]
    assert len(re.findall(rb"(?m)^HTTP/1", said)) == 1


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PROPFIND", "DELETE", "PUT"])
def test_what_is_no_method_of_ours_is_refused(portal: Portal, method: str) -> None:
    """A marker that is sent does not come back (TRACE)."""
    head = f"{method} /sign-in HTTP/1.1\r\nHost: {portal.authority}\r\nX-Mark: 4d41524b\r\nConnection: close\r\n\r\n"
    said = raw(portal, head)
    assert 400 <= int(said.split()[1]) < 500 and b"4d41524b" not in said, said[:200]


def test_nothing_is_listed_and_nothing_of_a_workshop_is_served(portal: Portal) -> None:
    visitor = portal.visitor(portal.people["admin"])
    places = ("/static/", "/static", "/.git/HEAD", "/beffroi.toml", "/static/../beffroi.toml", "/debug", "/metrics",
              "/healthz", "/static/%2e%2e/%2e%2e/beffroi.toml", "/static/..%2f..%2fkeys")  # fmt: skip
    for each in places:
        assert visitor.get(each).status == 404, each


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_and_no_tls_get_no_page(portal: Portal) -> None:
    old = ssl.create_default_context(cafile=str(portal.product.ca))
    old.set_ciphers("DEFAULT:@SECLEVEL=0")
    old.minimum_version = ssl.TLSVersion.TLSv1
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        raw(portal, f"GET /sign-in HTTP/1.1\r\nHost: {portal.authority}\r\n\r\n", old)
    with socket.create_connection((LOCAL, portal.product.web_port), timeout=20) as plain:
        plain.sendall(f"GET /sign-in HTTP/1.1\r\nHost: {portal.authority}\r\n\r\n".encode())
        assert b"HTTP/1." not in plain.recv(65536)


def test_a_field_that_is_sent_twice_counts_once(portal: Portal) -> None:
    """The first, in the body; what stands in the address counts for no form."""
    visitor, login = portal.visitor(), portal.people["admin"].login
    token = visitor.get("/sign-in").form_token
    rest = urlencode({"password": PASSWORD, "form_token": token})

    def status(query: str, fields: str) -> int:
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        return visitor.ask("POST", f"/sign-in{query}", f"{fields}&{rest}", sent).status

    assert status("", f"login={login}&login=nobody") == 303
    assert status("", f"login=nobody&login={login}") == 403
    assert status(f"?login={login}", "") == 403
