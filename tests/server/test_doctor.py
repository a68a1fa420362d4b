"""doctor: each thing that can be wrong with an instance is found, named, and has a remedy."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from config.paths import Paths
from server import doctor
from server.checks import instance, machine
from server.checks.finding import Finding
from tests.server.conftest import Ran


def wrong(findings: list[Finding]) -> dict[str, Finding]:
    return {finding.check: finding for finding in findings if finding.verdict == "wrong"}


def of_instance(data: Path) -> dict[str, Finding]:
    return wrong(list(instance.examine(data)))


@pytest.fixture
def moved(data: Path, ports: object) -> Path:
    """The instance on ports of this test's own; those of audio lie above all that tests take."""
    config = Paths(data).config
    fresh = {old: str(ports.take()) for old in ("5060", "5061", "5070", "5071", "9464")}  # type: ignore[attr-defined]
    fresh |= {"20000": "40000", "20999": "40999"}
    config.write_text(re.sub(rf"\b({'|'.join(fresh)})\b", lambda found: fresh[found[0]], config.read_text()))
    return data


def test_nothing_is_wrong_with_a_fresh_instance(moved: Path):
    assert of_instance(moved) == {}


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("none in force: each line's own settings hold (make one: beffroi policy draft --from-lines)", "note"),
        ("version 2 is in force", "ok"),
        ("version 2 is in force; not recorded for want of preconditions: sales", "note"),
        ("version 2 was altered after it had been approved: nothing is recorded (beffroi policy verify)", "wrong"),
    ],
)
def test_what_the_policy_is_doing_is_said_in_plain_words(said: str, verdict: str):
    found = instance._policy(said)
    assert (found.check, found.verdict) == ("policy", verdict) and (verdict == "ok" or found.remedy)


def test_that_there_is_no_policy_is_a_note(moved: Path):
    [found] = [one for one in instance.examine(moved) if one.check == "policy"]
    assert found.verdict == "note" and "policy draft" in found.remedy


def test_a_directory_that_is_not_set_up(tmp_path: Path):
    assert list(of_instance(tmp_path)) == ["set-up"]


def loosen(paths: Paths) -> None:
    paths.ledger_key.chmod(0o644)


def lose_key(paths: Paths) -> None:
    paths.proof_key.unlink()


def damage_key(paths: Paths) -> None:
    paths.field_key.write_text("{}")


def damage_certificate(paths: Paths) -> None:
    paths.tls_certificate.write_text("-----BEGIN CERTIFICATE-----\n")


def exchange_key(paths: Paths) -> None:
    paths.tls_key.write_bytes((paths.keys / "ca.key").read_bytes())


def other_domain(paths: Paths) -> None:
    paths.config.write_text(paths.config.read_text().replace('domain = "127.0.0.1"', 'domain = "sip.example.org"'))


def damage_database(paths: Paths) -> None:
    paths.database.write_bytes(b"no database" * 1000)


def bad_configuration(paths: Paths) -> None:
    paths.config.write_text(paths.config.read_text().replace("ring_timeout_s = 60", "ring_timeout_s = 0"))


def silent_prompt(paths: Paths) -> None:
    (paths.prompts / f"{'0' * 64}.wav").write_bytes(b"RIFF")


@pytest.mark.parametrize(
    ("harm", "check"),
    [(loosen, "permissions"), (lose_key, "keys"), (damage_key, "keys"), (damage_certificate, "certificate"),
     (exchange_key, "certificate"), (other_domain, "certificate"), (damage_database, "database"),
     (bad_configuration, "configuration"), (silent_prompt, "prompts")],
)  # fmt: skip
def test_what_is_wrong_is_found_and_has_a_remedy(moved: Path, harm: Callable[[Paths], None], check: str):
    harm(Paths(moved))
    found = of_instance(moved)
    assert check in found
    assert found[check].what and found[check].remedy


def test_a_port_that_somebody_else_has(moved: Path):
    listen = re.search(r'udp_listen = \["127.0.0.1:(\d+)"\]', Paths(moved).config.read_text())
    assert listen
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", int(listen[1])))
        found = of_instance(moved)
    assert f"127.0.0.1:{listen[1]}" in found["ports"].what


def test_the_machine_is_looked_at():
    checks = {finding.check for finding in machine.examine()}
    assert checks == {"system", "python", "packages", "imports", "kamailio", "kamailio.service", "clock", "swap",
                      "core dumps", "locale", "open files"}  # fmt: skip


def test_a_foreign_package_in_our_place_is_seen(tmp_path: Path):
    import subprocess
    import sys

    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "__init__.py").write_text("")
    code = (
        "import sys; from server.checks import machine\n"
        "sys.path.insert(0, sys.argv[1]); sys.modules.pop('config', None)\n"
        "import importlib; importlib.invalidate_caches()\n"
        "f = machine._shadows(); print(f.verdict, f.what)"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True)
    assert done.stdout.startswith("wrong") and str(tmp_path) in done.stdout, done.stderr


def test_status_and_json(beffroi: Callable[..., Ran], data: Path):
    Paths(data).ledger_key.chmod(0o644)
    ran = beffroi("doctor")
    assert ran.status == 1 and "chmod go=" in ran.out
    rows = json.loads(beffroi("doctor", "--json").out)
    assert {row["verdict"] for row in rows} <= {"ok", "note", "wrong"}
    assert all(row["remedy"] for row in rows if row["verdict"] != "ok")
    assert doctor.text([Finding("x", "ok", "y")]).endswith("nothing is wrong")


def test_a_rule_about_canvassing_that_is_overdue_for_a_look_is_named():
    assert list(instance.contact_rules_to_review(date(2026, 12, 31))) == []
    found = {finding.what.split()[1] for finding in instance.contact_rules_to_review(date(2027, 1, 1))}
    assert found == {"FR.hours", "FR.attempts"}
