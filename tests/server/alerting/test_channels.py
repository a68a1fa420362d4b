"""Alerts as real receivers get them: a relay, a webhook, a syslog; what arrives, and what does not leave."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from config import alerts as alert_data
from config import settings as configuration
from config.paths import Paths
from config.settings import Settings
from server import signed_posts
from server.alerting import channels, notices
from server.alerting.channels import Channels, NotSent
from server.alerting.notices import Notice
from tests.server.alerting import receivers

AT = datetime(2026, 11, 28, 12, 0, 0, 123000, tzinfo=UTC)
ALERT_ID = "0123456789abcdef" * 2
ONE = notices.notice(alert_data.load()["bulk-listening"], "fr", "pbx-1", ALERT_ID, 20, AT, AT)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    keys = tmp_path / "keys"
    keys.mkdir(mode=0o700)
    for name, text in ((channels.MAIL_SECRET, b"relay word\n"), (channels.WEBHOOK_SECRET, b"hook word\n")):
        (keys / name).write_bytes(text)
        (keys / name).chmod(0o600)
    return tmp_path


def chosen(**values: Any) -> Settings:
    return configuration.parse(configuration.sample(alerts=values))


def ways(place: Path, **values: Any) -> Channels:
    settings = chosen(**values)
    return Channels(lambda: settings, Paths(place))


# --- webhook ----------------------------------------------------------------------------------------------------------


def genuine(post: receivers.Post, secret: bytes) -> bool:
    """As the other side checks it, by the description alone."""
    stamp, signed = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", post.headers[signed_posts.SIGNATURE]).groups()  # type: ignore[union-attr]
    return hmac.compare_digest(hmac.new(secret, stamp.encode() + b"." + post.body, hashlib.sha256).hexdigest(), signed)


@pytest.mark.promise("1.20", "2.22")
async def test_a_webhook_gets_a_signed_post_over_tls(place: Path):
    tls = receivers.trust(place)
    async with receivers.webhook(tls) as hook:
        await ways(place, webhook=hook.url, ca_file=str(tls.ca)).send("webhook", ONE, AT)
    [post] = hook.posts
    assert json.loads(post.body) == {
        "v": 1, "id": ALERT_ID, "kind": "bulk-listening", "severity": "critical", "count": 20, "again": False,
        "first_at": "2026-11-28T12:00:00.123Z", "last_at": "2026-11-28T12:00:00.123Z", "machine": "pbx-1",
        "words": alert_data.load()["bulk-listening"].says["fr"],
    }  # fmt: skip
    assert genuine(post, b"hook word") and not genuine(post, b"another")
    assert not genuine(replace(post, body=post.body.replace(b"20", b"21")), b"hook word")
    assert "Cookie" not in post.headers


@pytest.mark.promise("1.20")
async def test_a_webhook_whose_certificate_does_not_hold_is_told_nothing(place: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    tls, stranger, misnamed = receivers.trust(place), receivers.trust(other), tmp_path / "misnamed"
    misnamed.mkdir()
    async with receivers.webhook(stranger) as hook:
        with pytest.raises(NotSent):
            await ways(place, webhook=hook.url, ca_file=str(tls.ca)).send("webhook", ONE, AT)
        assert hook.posts == []
    named = receivers.trust(misnamed, "hooks.example.org")
    async with receivers.webhook(named) as hook:
        with pytest.raises(NotSent):
            await ways(place, webhook=hook.url, ca_file=str(named.ca)).send("webhook", ONE, AT)
        assert hook.posts == []


@pytest.mark.promise("1.20")
@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_no_redirection_is_followed(place: Path, status: int):
    async with receivers.webhook() as hook:
        hook.status, hook.location = status, "/elsewhere"
        with pytest.raises(NotSent, match=str(status)):
            await ways(place, webhook=hook.url).send("webhook", ONE, AT)
        assert (len(hook.posts), hook.others) == (1, [])


async def test_a_webhook_that_fails_or_hangs_is_not_taken_for_told(place: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(signed_posts, "TIMEOUT_S", 0.5)
    async with receivers.webhook() as hook:
        hook.status = 500
        with pytest.raises(NotSent, match="500"):
            await ways(place, webhook=hook.url).send("webhook", ONE, AT)
        hook.hang = True
        with pytest.raises(NotSent):
            await ways(place, webhook=hook.url).send("webhook", ONE, AT)
    with pytest.raises(NotSent):  # nobody there any more
        await ways(place, webhook=hook.url).send("webhook", ONE, AT)


async def test_without_its_secret_a_webhook_is_not_told(place: Path):
    (place / "keys" / channels.WEBHOOK_SECRET).unlink()
    async with receivers.webhook() as hook:
        with pytest.raises(NotSent, match=r"webhook\.secret"):
            await ways(place, webhook=hook.url).send("webhook", ONE, AT)
        assert hook.posts == []


# --- mail -------------------------------------------------------------------------------------------------------------

TO = {"admin": ["it@example.org"], "dpo": ["dpo@example.org", "second@example.org"]}


def by_mail(place: Path, box: receivers.Mailbox, **more: Any) -> Channels:
    values: dict[str, Any] = {"mail_relay": box.place, "mail_from": "beffroi@example.org", "mail_to": TO}
    return ways(place, **(values | more))


@pytest.mark.promise("1.20", "0.15")
async def test_a_mail_goes_by_starttls_to_those_whom_it_concerns(place: Path):
    tls = receivers.trust(place)
    async with receivers.relay(tls, login=True) as box:
        await by_mail(place, box, ca_file=str(tls.ca), mail_user="beffroi").send("mail", ONE, AT)
    [(sender, recipients, message)] = box.mails
    assert (sender, recipients) == ("beffroi@example.org", ["dpo@example.org", "second@example.org"])
    assert (box.over_tls, box.logins) == ([True], [("beffroi", "relay word")])
    assert message["Subject"] == "[Beffroi pbx-1] critical: bulk-listening"
    text = message.get_content()
    assert f"beffroi alert show {ALERT_ID}" in text and "beffroi alert runbook bulk-listening" in text


@pytest.mark.promise("1.20")
async def test_a_relay_without_starttls_is_given_neither_mail_nor_password(place: Path):
    async with receivers.relay() as box:
        with pytest.raises(NotSent):
            await by_mail(place, box, mail_user="beffroi").send("mail", ONE, AT)
        assert (box.mails, box.logins) == ([], [])


@pytest.mark.promise("1.20")
async def test_a_relay_with_a_strange_certificate_is_given_nothing(place: Path, tmp_path: Path):
    other = tmp_path / "other"
    other.mkdir()
    async with receivers.relay(receivers.trust(other)) as box:
        with pytest.raises(NotSent):
            await by_mail(place, box, ca_file=str(receivers.trust(place).ca)).send("mail", ONE, AT)
        assert box.mails == []


async def test_a_wrong_password_or_a_dead_relay_is_tried_again(place: Path):
    tls = receivers.trust(place)
    (place / "keys" / channels.MAIL_SECRET).write_bytes(b"wrong")
    async with receivers.relay(tls, login=True) as box:
        with pytest.raises(NotSent) as failed:
            await by_mail(place, box, ca_file=str(tls.ca), mail_user="beffroi").send("mail", ONE, AT)
    assert "wrong" not in str(failed.value) and "@" not in str(failed.value)
    with pytest.raises(NotSent):
        await by_mail(place, box, ca_file=str(tls.ca)).send("mail", ONE, AT)


async def test_one_recipient_whom_the_relay_refuses_does_not_bring_the_other_two_mails(place: Path):
    async with receivers.relay() as box:
        box.refuse = {"second@example.org"}
        await by_mail(place, box, mail_tls="none").send("mail", ONE, AT)
        assert [recipients for _, recipients, _ in box.mails] == [["dpo@example.org"]]
        box.refuse |= {"dpo@example.org"}
        with pytest.raises(NotSent):
            await by_mail(place, box, mail_tls="none").send("mail", ONE, AT)


async def test_where_nobody_of_the_role_is_named_no_mail_goes(place: Path):
    async with receivers.relay() as box:
        await by_mail(place, box, mail_tls="none", mail_to={"admin": ["it@example.org"]}).send("mail", ONE, AT)
        assert box.mails == []


# --- syslog, log ------------------------------------------------------------------------------------------------------

RFC5424 = re.compile(
    rb"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z) (\S+) (\S+) (\S+) (\S+) (\[.*?\]) (.*)", re.DOTALL
)


@pytest.mark.promise("2.22")
@pytest.mark.parametrize("kind", ["unix", "udp", "tcp"])
async def test_a_syslog_gets_one_message_of_its_own_form(place: Path, kind: str):
    async with receivers.syslog(kind, place) as (where, listener):
        await ways(place, syslog=where).send("syslog", ONE, AT)
        if kind == "tcp":
            connection, _ = await asyncio.to_thread(listener.accept)
            with connection:
                length, _, message = (await asyncio.to_thread(connection.recv, 4096)).partition(b" ")
            assert int(length) == len(message)
        else:
            message = await asyncio.to_thread(listener.recv, 4096)
    found = RFC5424.fullmatch(message)
    assert found is not None, message
    assert divmod(int(found[1]), 8) == (13, 2)
    assert (found[3], found[4], found[6]) == (b"pbx-1", b"beffroi", b"bulk-listening")
    assert f'id="{ALERT_ID}"'.encode() in found[7]


async def test_a_syslog_that_is_not_there_is_tried_again(place: Path):
    for where in (f"unix:{place}/none", "tcp://127.0.0.1:1"):
        with pytest.raises(NotSent):
            await ways(place, syslog=where).send("syslog", ONE, AT)


async def test_the_log_always_has_it(place: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        await ways(place).send("log", ONE, AT)
    [said] = [record for record in caplog.records if ALERT_ID in record.getMessage()]
    assert said.levelno == logging.CRITICAL


@pytest.mark.promise("1.20")
async def test_a_channel_that_is_not_named_any_more_sends_nothing(place: Path):
    async with receivers.webhook() as hook:
        for name in ("syslog", "mail", "webhook"):
            await ways(place).send(name, ONE, AT)
        assert hook.posts == []
    assert channels.configured(chosen().alerts) == ("log",)


@pytest.mark.promise("1.20")
@pytest.mark.parametrize("kind", alert_data.load().values(), ids=lambda kind: kind.id)
def test_whatever_is_told_holds_only_the_id_as_digits(kind: alert_data.Kind):
    """No notice has room for a subject: what is not given to it cannot leave."""
    one = notices.notice(kind, "en", "pbx-1", ALERT_ID, 3, AT, AT, again=True)
    assert set(Notice.__slots__) == {
        "alert_id", "kind", "severity", "count", "first_at", "last_at", "machine", "words", "tell", "again",
    }  # fmt: skip
    mail = notices.mail(one, "a@example.org", ["b@example.org"]).get_content()
    for text in (mail, notices.webhook(one).decode(), notices.syslog(one, AT).decode(), notices.line(one)):
        bare = text.replace(ALERT_ID, "").replace("beffroi@32473", "").replace("audit", "")
        assert not re.search(r"\d{6,}", re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "", bare)), bare


async def test_a_relay_that_never_answers_holds_up_neither_us_nor_our_end(place: Path, monkeypatch: pytest.MonkeyPatch):
    """It takes the connection and says nothing; its thread is one that no program waits for."""
    monkeypatch.setattr(channels, "TIMEOUT_S", 0.3)
    monkeypatch.setattr(channels, "PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        where = f"127.0.0.1:{mute.getsockname()[1]}"
        settings: dict[str, Any] = {"mail_relay": where, "mail_from": "a@example.org", "mail_to": TO}
        with pytest.raises(NotSent):
            await ways(place, mail_tls="none", **settings).send("mail", ONE, AT)
        assert all(thread.daemon for thread in threading.enumerate() if thread.name == "alert")
