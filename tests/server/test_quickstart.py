"""quickstart: one command makes a working instance; nothing secret stays on disk; a failure leaves nothing."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import resource
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from recording.keys import escrow_seed
from server import tls
from server.quickstart import Wishes, sample
from server.services.credentials import ha1
from tests.peers.product import BEFFROI, run_cli
from tests.server.conftest import Ran, Seed


def contents(data: Path) -> dict[str, str]:
    """Every file with the hash of what is in it; run/ comes and goes."""
    return {
        str(path.relative_to(data)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(data.rglob("*"))
        if path.is_file() and "run" not in path.relative_to(data).parts
    }


def test_all_of_an_instance_is_for_its_owner_only(data: Path):
    modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (data, *data.rglob("*"))}
    assert {path for path, mode in modes.items() if mode & 0o077} == set()
    paths = Paths(data)
    for needed in (paths.config, paths.field_key, paths.ledger_key, paths.proof_key, paths.tls_ca,
                   paths.tls_certificate, paths.tls_key, paths.database):  # fmt: skip
        assert needed.is_file(), needed


@pytest.mark.promise("0.1")
def test_nothing_that_is_shown_once_lies_on_disk(data: Path, shown: dict[str, Any]):
    secrets = {"escrow": shown["escrow"], "escrow in one": shown["escrow"].replace("-", "")}
    raw = {
        "escrow seed": escrow_seed(shown["escrow"]),
        "totp in bytes": base64.b32decode(shown["reader"]["totp_secret"]),
    }
    secrets |= {name: shown["reader"][name] for name in ("passphrase", "totp_secret")}
    for device in shown["devices"]:
        secrets[device["user"]] = device["password"]
        secrets[f"ha1 of {device['user']}"] = ha1(device["user"], shown["domain"], device["password"])
    assert len(secrets) == 8
    wanted = raw | {name: secret.encode() for name, secret in secrets.items()}
    files = [path for path in data.rglob("*") if path.is_file()]
    assert len(files) >= 9
    found = [(name, path.name) for path in files for name, secret in wanted.items() if secret in path.read_bytes()]
    assert found == []


def test_the_search_would_find_what_is_there(data: Path, shown: dict[str, Any]):
    """User names are no secret, and stand in the database as they are."""
    assert shown["devices"][0]["user"].encode() in Paths(data).database.read_bytes()


def test_secrets_are_strong_and_easy_to_type(shown: dict[str, Any]):
    for secret in (*(device["password"] for device in shown["devices"]), shown["reader"]["passphrase"]):
        assert re.fullmatch(r"[a-hjkmnp-z2-9]{5}(-[a-hjkmnp-z2-9]{5}){3}-[a-hjkmnp-z2-9]{6}", secret)
    assert len({shown["devices"][0]["password"], shown["devices"][1]["password"], shown["reader"]["passphrase"]}) == 3
    assert [device["account"] for device in shown["devices"]] == ["alice", "bob"]
    assert re.fullmatch(r"alice-[a-z2-9]{4}", shown["devices"][0]["user"])
    assert len(shown["reader"]["totp_secret"]) == 32  # 160 bits


def test_a_second_run_changes_nothing_and_shows_no_secret(
    beffroi: Callable[..., Ran], data: Path, shown: dict[str, Any]
):
    before = contents(data)
    again = beffroi("quickstart", "--address", "192.0.2.7", "--company", "Other")
    assert again.status == 0
    assert "nothing was changed" in again.out
    assert contents(data) == before
    assert not any(device["password"] in again.out for device in shown["devices"])


def test_it_is_quick(tmp_path: Path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = run_cli(tmp_path / "data", "quickstart", "--address", "127.0.0.1", timeout_s=180)
    assert done.returncode == 0, done.stderr
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu_s < 20, "5 s on a machine that does nothing else, and most of it speech: two voices at once"
    assert "*43" in done.stdout


@pytest.mark.parametrize(
    "wrong",
    [
        ("--address", "not-an-address"),
        ("--port-base", "80"),
        ("--rtp", "20001-20000"),
        ("--domain", "no domain"),
        ("--secrets-fd", "987"),
    ],
)
def test_a_failure_leaves_nothing_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: tuple[str, str]):
    from server.cli import main

    data = tmp_path / "deep" / "data"
    assert main(["--data", str(data), "quickstart", *wrong]) == 1
    said = capsys.readouterr()
    assert said.err.startswith("beffroi: ") and "Traceback" not in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_failure_does_not_take_what_was_there(data: Path, beffroi: Callable[..., Ran]):
    """An instance whose certificate is damaged keeps everything else."""
    Paths(data).tls_certificate.write_text("no certificate")
    before = contents(data)
    assert beffroi("quickstart").status == 1
    assert contents(data) == before


def test_keys_that_are_lost_are_not_made_anew(data: Path, beffroi: Callable[..., Ran]):
    Paths(data).field_key.unlink()
    failed = beffroi("quickstart")
    assert failed.status == 1 and "backup" in failed.err
    assert not Paths(data).field_key.exists()


def test_what_is_configured(data: Path, seed: Seed):
    settings = configuration.load(Paths(data).config)
    assert settings.sip.tls_listen == ("127.0.0.1:5061",)
    assert settings.sip.udp_listen == settings.sip.tcp_listen == ("127.0.0.1:5060",)
    assert settings.sip.domain == seed.shown["domain"] == "127.0.0.1"


def test_all_ports_from_a_base_upwards():
    chosen = configuration.parse(sample(Wishes(address="192.0.2.1", port_base=21000)))
    assert chosen.sip.tls_listen == ("192.0.2.1:21000",)
    assert chosen.sip.udp_listen == ("127.0.0.1:21001",)
    assert (chosen.sip.worker_port, chosen.sip.control_port, chosen.http.listen) == (21002, 21003, "127.0.0.1:21004")
    assert chosen.media.rtp_port_first >= 21005 and chosen.media.rtp_port_first % 2 == 0
    assert chosen.calls.max_concurrent == 20
    narrow = configuration.parse(sample(Wishes(address="192.0.2.1", rtp=(30000, 30047))))
    assert (narrow.calls.max_concurrent, narrow.calls.max_per_account, narrow.calls.emergency_reserve) == (2, 2, 1)
    narrowest = configuration.parse(sample(Wishes(address="192.0.2.1", rtp=(30000, 30015))))
    assert (narrowest.calls.max_concurrent, narrowest.calls.emergency_reserve) == (1, 0)


@pytest.mark.promise("P2")
def test_outside_addresses_have_tls_only():
    chosen = configuration.parse(sample(Wishes(address="192.0.2.1")))
    assert chosen.sip.tls_listen == ("192.0.2.1:5061",)
    outside = [text for text in (*chosen.sip.udp_listen, *chosen.sip.tcp_listen) if not text.startswith("127.0.0.1:")]
    assert outside == []


def test_the_certificate_is_what_phones_can_check(data: Path):
    paths = Paths(data)
    done = subprocess.run(
        ["openssl", "verify", "-CAfile", paths.tls_ca, "-verify_ip", "127.0.0.1", "-purpose", "sslserver",
         paths.tls_certificate], capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    strange = subprocess.run(
        ["openssl", "verify", "-CAfile", paths.tls_ca, "-verify_ip", "192.0.2.9", paths.tls_certificate],
        capture_output=True)  # fmt: skip
    assert strange.returncode != 0


def test_a_certificate_that_lacks_an_address_is_made_anew_under_the_same_authority(
    data: Path, beffroi: Callable[..., Ran]
):
    paths = Paths(data)
    authority, old = paths.tls_ca.read_bytes(), paths.tls_certificate.read_bytes()
    text = paths.config.read_text().replace('domain = "127.0.0.1"', 'domain = "sip.example.org"')
    paths.config.write_text(text)
    assert beffroi("quickstart").status == 0
    fresh = paths.tls_certificate.read_bytes()
    assert fresh != old and "sip.example.org" in tls.names_of(fresh)
    assert paths.tls_ca.read_bytes() == authority
    assert tls.belongs_to(tls.Pair(fresh, paths.tls_key.read_bytes()), authority)


@pytest.mark.parametrize("into", ["full", "closed"])
def test_secrets_that_cannot_be_shown_are_not_made(tmp_path: Path, into: str):
    """Nobody could ever learn them: the set-up has not happened."""
    data = tmp_path / "data"
    reading, writing = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("w") as full:
        done = subprocess.run([BEFFROI, "--data", data, "quickstart"], stdout=full if into == "full" else writing,
                              stderr=subprocess.PIPE, text=True)  # fmt: skip
    os.close(writing)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert not data.exists()
    assert run_cli(data, "quickstart").returncode == 0


def test_what_a_person_reads(tmp_path: Path):
    done = run_cli(tmp_path / "data", "quickstart", "--qr", "--address", "127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\u2588\u2580\u2580\u2580") + done.stdout.count("\u2584\u2584\u2584\u2584\u2584") > 8, (
        "codes"
    )
    for word in ("alice", "bob", "TOTP secret", "Escrow", "*43", "ca.pem", "SDES", "recordings open", "127.0.0.1:5061"):
        assert word in done.stdout
    quiet = run_cli(tmp_path / "quiet", "quickstart", "--address", "127.0.0.1")
    assert "\u2588" not in quiet.stdout, "no terminal, no codes"


def test_an_instance_whose_configuration_was_there_first_is_filled(tmp_path: Path):
    data = tmp_path / "data"
    data.mkdir()
    (data / "beffroi.toml").write_text(sample(Wishes(address="127.0.0.1", company="Mine")))
    done = run_cli(data, "quickstart")
    assert done.returncode == 0 and "Phone of alice" in done.stdout
    assert "Mine" in (data / "beffroi.toml").read_text()
