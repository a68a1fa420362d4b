from __future__ import annotations

import io
import json
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.logs import RedactingFormatter, redact, set_up

OPAQUE = "0123456789abcdef0123456789abcdef"


def one_line(shape: str, message: str, *args: object, error: BaseException | None = None) -> str:
    record = logging.LogRecord("sip.calls", logging.INFO, __file__, 1, message, args, None)
    if error is not None:
        record.exc_info = (type(error), error, error.__traceback__)
    return RedactingFormatter(shape).format(record)  # type: ignore[arg-type]


@pytest.mark.promise("0.13")
@pytest.mark.parametrize(
    "personal",
    [
        "+33612345678", "0612345678", "06 12 34 56 78", "06.12.34.56.78", "+33 (0)6-12-34-56-78", "0033612345678",
        "123456",
        "sip:alice@example.org", "sips:0612345678@192.0.2.1:5061;transport=tls;user=phone",
        "tel:+33612345678", "SIP:Bob@x",
        "alice@example.org", "alice.k3f9@beffroi.internal", "bob@[2001:db8::1]",
    ],
)  # fmt: skip
@pytest.mark.parametrize("shape", ["json", "text"])
def test_nobody_is_named_wherever_it_stands(shape: str, personal: str) -> None:
    for line in (
        one_line(shape, f"from {personal} to x"),
        one_line(shape, "from %s to x", personal),
        one_line(shape, "parsed %r", {"contact": f"<{personal}>"}),
        one_line(shape, "failed", error=ValueError(f"bad header {personal!r}")),
        one_line(shape, f"wrong %d {personal}", "x"),
    ):
        assert personal not in line
        for part in personal.replace("@", " ").replace(":", " ").split():
            assert len(part) < 6 or part not in line


def test_opaque_ids_times_and_addresses_stay() -> None:
    for text in (
        f"call {OPAQUE} ended", f"hash {OPAQUE * 2}", "at 2026-11-21T22:58:00.123456+00:00", "2026-11-21",
        "tls:192.0.2.10:5061",
        "took 1234 ms", "worker 12345 ended with 9", "port 20000",
    ):  # fmt: skip
        assert redact(text) == text


def test_a_number_dressed_as_an_id_does_not_pass() -> None:
    assert "612345678" not in redact(f"{OPAQUE}0612345678")


@given(st.text(alphabet="0123456789 .+-()", max_size=40))
def test_six_digits_in_a_row_never_remain(text: str) -> None:
    import re

    assert not re.search(r"\d{6}", redact(f"x {text} y"))


def test_json_is_one_object_a_line_even_with_a_trace() -> None:
    try:
        raise RuntimeError("line one\nline two")
    except RuntimeError as error:
        line = one_line("json", "call %s failed", OPAQUE, error=error)
    told = json.loads(line)
    assert "\n" not in line
    assert told["message"] == f"call {OPAQUE} failed" and told["from"] == "sip.calls" and told["level"] == "info"
    assert told["at"].endswith("Z") and "RuntimeError" in told["error"] and "line two" in told["error"]


def test_set_up_sends_everything_through_the_filter() -> None:
    root = logging.getLogger()
    before = list(root.handlers), root.level
    out = io.StringIO()
    try:
        set_up("warning", "json", out)
        logging.getLogger("some.library").warning("dialling %s", "+33612345678")
        logging.getLogger("some.library").info("not told")
    finally:
        logging.captureWarnings(False)
        root.handlers[:], root.level = before[0], before[1]
    assert json.loads(out.getvalue())["message"] == "dialling [number]"
