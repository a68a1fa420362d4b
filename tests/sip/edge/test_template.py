"""The configuration that Kamailio is given, and what is made of its log."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from pathlib import Path

import pytest

from sip.edge import daemonlog
from sip.edge.template import EdgePlan, Listen, PlanError, render

PLAN = EdgePlan(
    domain="test.lan",
    listens=(Listen("udp", "192.0.2.1", 5060), Listen("tls", "2001:db8::1", 5061)),
    worker_port=5070,
    control_port=5071,
    control_secret="ab" * 16,
    run_dir=Path("/run/beffroi"),
    rpc_socket=Path("/run/beffroi/rpc.sock"),
    tls_certificate=Path("/etc/beffroi/server.pem"),
    tls_key=Path("/etc/beffroi/server.key"),
)


def test_every_token_is_replaced() -> None:
    text = render(PLAN).kamailio_cfg
    assert not re.search(r"@@[A-Z]", text)
    assert "listen=udp:192.0.2.1:5060 name" in text
    assert "listen=tls:[2001:db8::1]:5061 name" in text


def test_without_a_tls_address_there_is_no_tls() -> None:
    text = render(replace(PLAN, listens=(Listen("udp", "192.0.2.1", 5060),))).kamailio_cfg
    assert "tls.so" not in text
    assert "enable_tls" not in text


def test_every_route_that_is_named_exists() -> None:
    """Kamailio's own check does not look."""
    text = render(PLAN).kamailio_cfg
    for call, kind in (("route", "route"), ("t_on_failure", "failure_route"), ("t_on_reply", "onreply_route")):
        for name in re.findall(rf'\b{call}\("?([A-Z_]+)"?\)', text):
            assert f"{kind}[{name}] {{" in text, (call, name)
    for name in re.findall(r"^route\[([A-Z_]+)\]", text, re.M):
        assert re.search(rf'route\({name}\)|"{name}"', text), f"{name} is never run"


def test_no_variable_stands_inside_quotes_where_kamailio_does_not_expand_it() -> None:
    """In assignments and comparisons a quoted variable stays as written; only function arguments expand."""
    for line in render(PLAN).kamailio_cfg.splitlines():
        assert not re.search(r'[=+] "[^"]*\$(var|evapi|sht|dlg_var|avp|[a-z]{2}\b)', line), line


def test_what_the_template_logs_is_plain_words() -> None:
    for text in re.findall(r'xlog\("L_[A-Z]+", "(.*)\\n"\)', render(PLAN).kamailio_cfg):
        assert re.fullmatch(r"[a-z ]+", text)


def test_the_secret_is_not_in_what_may_be_printed() -> None:
    assert PLAN.control_secret not in repr(PLAN)
    assert PLAN.control_secret not in repr(render(PLAN))
    assert PLAN.control_secret not in render(PLAN).tls_cfg


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"domain": 'x"\nlisten=udp:0.0.0.0:5060'}, "domain"),
        ({"domain": ""}, "domain"),
        ({"listens": ()}, "nowhere"),
        ({"listens": (Listen("udp", "localhost", 5060),)}, "localhost"),
        ({"worker_port": 0}, "0"),
        ({"control_port": 65536}, "65536"),
        ({"control_secret": "short"}, "secret"),
        ({"run_dir": Path('/tmp/a"b')}, "path"),
        ({"tls_key": Path("relative.key")}, "relative.key"),
    ],
)
def test_a_plan_that_cannot_be_carried_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(PlanError, match=named):
        render(replace(PLAN, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "level", "kept"),
    [
        (
            " 2(4711) ERROR: <core> [core/parser/parse_uri.c:1337]: parse_uri(): bad uri, parsed: <sip:0612345678>",
            logging.DEBUG,  # a peer's fault
            "<core> parse_uri core/parser/parse_uri.c:1337",
        ),
        (" 5(12) NOTICE: <script>: source banned", logging.INFO, "source banned"),
        (" 5(12) WARNING: <script>: user alice at 192.0.2.1", logging.WARNING, "<script>"),
        (" 0(1) INFO: tls [tls_mod.c:1]: f(): x", logging.DEBUG, "tls f tls_mod.c:1"),
        (
            "12(3) WARNING: {1 7 INVITE abc@192.0.2.1} tm [t_lookup.c:9]: t_x(): callid abc",
            logging.WARNING,
            "tm t_x t_lookup.c:9",
        ),
    ],
)
def test_a_line_of_kamailio_as_it_may_be_kept(line: str, level: int, kept: str) -> None:
    parsed = daemonlog.parse(line)
    assert parsed is not None
    assert (parsed.level, parsed.scrubbed()) == (level, kept)


@pytest.mark.parametrize("line", ["", "Listening on", "INVITE sip:bob@x SIP/2.0", " 1(2) x"])
def test_what_is_no_log_line_is_dropped(line: str) -> None:
    assert daemonlog.parse(line) is None


def test_the_same_line_is_told_a_few_times_a_minute() -> None:
    throttle = daemonlog.Throttle(most=2, window_s=60)
    assert [throttle.passes("a", now) for now in (100, 101, 102, 103)] == [True, True, False, False]
    assert throttle.passes("b", 104) and not throttle.last("b")
    assert throttle.passes("b", 105) and throttle.last("b")
    assert throttle.passes("a", 200)
