"""Every kind of alert has words and a runbook in both languages, and what the runbook says to type can be typed."""

from __future__ import annotations

import copy
import shlex
from typing import Any

import pytest

from config import alerts, settings
from config.settings import ConfigError
from config.shipped import DataError, read
from server.cli import parser

KINDS = alerts.load()


@pytest.mark.promise("0.15")
@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.id)
def test_every_kind_has_a_runbook(kind: alerts.Kind, capsys: pytest.CaptureFixture[str]) -> None:
    book = kind.runbook
    for language in ("fr", "en"):
        assert len(kind.says[language]) > 20 and len(book.means[language]) > 15 and book.steps[language]
        assert all(len(step) > 15 for step in book.steps[language])
    assert kind.tell and book.commands
    for command in book.commands:
        program, *words = shlex.split(command)
        assert program == "beffroi"
        try:
            parser().parse_args(words)
        except SystemExit:
            pytest.fail(f"{command}: {capsys.readouterr().err}")


@pytest.mark.promise("1.20")
@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.id)
def test_words_that_leave_the_house_have_no_place_for_content(kind: alerts.Kind) -> None:
    assert not set("{}%") & set("".join(kind.says.values()))


def wrong(**changes: Any) -> dict[str, Any]:
    data = copy.deepcopy(read("alerts.toml"))
    entry = data["alert"]["ban-wave"]
    for key, value in changes.items():
        if value is None:
            del entry[key]
        else:
            entry[key] = value
    return data


@pytest.mark.parametrize(
    "changes",
    [
        {"severity": "loud"},
        {"tell": []},
        {"tell": ["boss"]},
        {"commands": []},
        {"fr": " "},
        {"act_fr": []},
        {"act_fr": ["one", "two", "three"]},
        {"means_en": None},
        {"count": 0},
        {"within_min": None},
        {"about": "everybody"},
        {"number": "+33612345678"},
    ],
    ids=str,
)
def test_a_mistake_in_the_data_is_found_when_it_is_read(changes: dict[str, Any]) -> None:
    alerts.build(wrong())
    with pytest.raises(DataError, match="ban-wave"):
        alerts.build(wrong(**changes))


# --- whom the configuration names -------------------------------------------------------------------------------------


@pytest.mark.promise("1.20")
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('webhook = "http://example.org/x"', "alerts.webhook"),
        ('webhook = "https://user:word@example.org/x"', "alerts.webhook"),
        ('webhook = "ftp://example.org"', "alerts.webhook"),
        ('syslog = "example.org"', "alerts.syslog"),
        ('mail_relay = "example.org"', "alerts.mail_relay"),
        ('mail_relay = "example.org:99999"', "alerts.mail_relay"),
        ('mail_relay = "example.org:25"', "alerts.mail_from"),
        ('mail_relay = "example.org:25"\nmail_from = "a@example.org"', "alerts.mail_to"),
        ('mail_to = { admin = ["a@example.org, b@example.org"] }', "alerts.mail_to.admin"),
        ('mail_to = { admin = ["a@example.org\\r\\nBcc: b@example.org"] }', "alerts.mail_to.admin"),
        ('mail_relay = "example.org:25"\nmail_tls = "none"\nmail_from = "a@b.org"\nmail_to = { dpo = ["a@b.org"] }',
         "alerts.mail_tls"),
        ('thresholds = { "bulk-listening.often" = 3 }', "alerts.thresholds"),
        ('mail_password = "secret"', "alerts.mail_password"),
        ('machine = "two words"', "alerts.machine"),
        ('ca_file = "ca.pem"', "alerts.ca_file"),
    ],
)  # fmt: skip
def test_a_place_that_cannot_be_is_refused(text: str, key: str) -> None:
    with pytest.raises(ConfigError) as refused:
        settings.parse(f"[alerts]\n{text}\n")
    assert key in {problem.key for problem in refused.value.problems}


@pytest.mark.promise("1.20")
def test_nothing_leaves_unless_somebody_writes_it_down() -> None:
    chosen = settings.parse("").alerts
    assert (chosen.syslog, chosen.mail_relay, chosen.webhook, chosen.mail_to) == ("", "", "", {})


def test_what_is_written_is_read_back() -> None:
    text = settings.sample(alerts={
        "mail_relay": "[::1]:2525", "mail_tls": "none", "mail_from": "beffroi@example.org",
        "mail_to": {"admin": ["it@example.org"], "dpo": ["dpo@example.org", "d2@example.org"]},
        "webhook": "https://hooks.example.org/beffroi?x=1", "syslog": "tcp://192.0.2.7:601",
        "thresholds": {"bulk-listening.count": 3},
    })  # fmt: skip
    chosen = settings.parse(text).alerts
    assert chosen.mail_to == {"admin": ("it@example.org",), "dpo": ("dpo@example.org", "d2@example.org")}
    assert alerts.with_limits(KINDS, chosen.thresholds)["bulk-listening"].limits == {"count": 3, "within_min": 10}
