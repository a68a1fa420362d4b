"""From settings to what the edge is told, and the secret that edge and daemon share."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from config import settings as configuration
from config.paths import Paths
from config.settings import Settings
from server import edge_plan as module
from server.edge_plan import control_secret, edge_plan, edge_run_dir
from server.edge_process import _prepare, identity
from server.failure import Failure
from sip.edge.process import Identity
from sip.edge.template import Listen


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(tmp_path / "data")
    made.make()
    return made


def settings(**sections: dict[str, Any]) -> Settings:
    sip = {"domain": "test.lan", "tls_listen": ["127.0.0.1:5061"], "udp_listen": ["127.0.0.1:5060"], "tcp_listen": []}
    media = {"address": "127.0.0.1"}
    wanted = {"sip": {**sip, **sections.pop("sip", {})}, "media": {**media, **sections.pop("media", {})}, **sections}
    return configuration.parse(configuration.sample(**wanted), source="test")


# --- the secret ---------------------------------------------------------------------------------------------------


def test_the_secret_is_made_once_and_is_nobody_elses(paths: Paths) -> None:
    secret = control_secret(paths)
    assert len(bytes.fromhex(secret)) == 32
    assert control_secret(paths) == secret
    assert paths.control_secret.stat().st_mode & 0o777 == 0o600


def test_two_instances_have_two_secrets(tmp_path: Path) -> None:
    both = [Paths(tmp_path / name) for name in ("one", "two")]
    for each in both:
        each.make()
    assert control_secret(both[0]) != control_secret(both[1])


def test_edge_and_daemon_that_start_at_once_agree(paths: Paths) -> None:
    """Whoever comes first makes it; whoever comes second never sees half of it."""
    for _ in range(50):
        paths.control_secret.unlink(missing_ok=True)
        with ThreadPoolExecutor(8) as pool:
            seen = set(pool.map(lambda _: control_secret(paths), range(8)))
        assert len(seen) == 1
    assert [path.name for path in paths.control_secret.parent.iterdir()] == [paths.control_secret.name]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 64], ids=["empty", "short", "no text"])
def test_a_damaged_secret_is_said_and_not_used(paths: Paths, content: bytes) -> None:
    paths.control_secret.write_bytes(content)
    with pytest.raises(Failure) as failure:
        control_secret(paths)
    assert str(paths.control_secret) in str(failure.value)


# --- the plan -----------------------------------------------------------------------------------------------------


def test_the_edge_is_told_what_the_settings_say(paths: Paths) -> None:
    chosen = settings(
        sip={
            "tls_listen": ["127.0.0.1:5061", "[::1]:5061"],
            "tcp_listen": ["127.0.0.1:5062"],
            "worker_port": 6001,
            "control_port": 6002,
            "max_contacts_per_device": 2,
            "registration_min_s": 90,
            "registration_max_s": 500,
        },
        limits={"ban_s": 77, "requests_per_user_per_s": 9},
        calls={"max_duration_s": 600},
    )
    plan = edge_plan(chosen, paths)
    assert plan.listens == (
        Listen("tls", "127.0.0.1", 5061),
        Listen("tls", "::1", 5061),
        Listen("tcp", "127.0.0.1", 5062),
        Listen("udp", "127.0.0.1", 5060),
    )
    assert (plan.domain, plan.worker_port, plan.control_port) == ("test.lan", 6001, 6002)
    assert (plan.max_contacts_per_device, plan.registration_min_s, plan.registration_max_s) == (2, 90, 500)
    assert (plan.limits.ban_s, plan.limits.requests_per_user_per_s) == (77, 9)
    assert plan.control_secret == control_secret(paths)


def test_the_edge_waits_longer_than_whatever_the_daemon_waits_for(paths: Paths) -> None:
    """Else the edge would end what the daemon still wants, and nobody could say why."""
    for ring_s, max_s in ((5, 60), (60, 14400), (600, 86400)):
        plan = edge_plan(settings(calls={"ring_timeout_s": ring_s, "max_duration_s": max_s}), paths)
        assert plan.timers.call_max_s > max_s
        assert plan.timers.caller_waits_ms > ring_s * 1000 + 5000


def test_daemon_and_edge_look_for_each_other_in_the_same_place(paths: Paths) -> None:
    chosen = settings()
    assert edge_plan(chosen, paths).rpc_socket == edge_plan(chosen, paths).rpc_socket
    assert edge_plan(chosen, paths).rpc_socket.parent == edge_run_dir(paths)


def test_two_data_directories_never_share_a_directory_of_the_edge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = Paths(tmp_path / "one"), Paths(tmp_path / "two")
    for uid in (0, 1000):
        monkeypatch.setattr(module.os, "geteuid", lambda uid=uid: uid)
        assert edge_run_dir(one) != edge_run_dir(two)
        assert len(str(edge_run_dir(one) / "rpc-1234567-7f0000000000.sock")) < 108 or uid, "sun_path holds 107 bytes"
    (tmp_path / "link").symlink_to(tmp_path / "one")
    (tmp_path / "one").mkdir()
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    assert edge_run_dir(Paths(tmp_path / "link")) == edge_run_dir(one)


# --- what the edge may read ---------------------------------------------------------------------------------------


def with_certificate(paths: Paths) -> None:
    paths.tls_certificate.write_text("certificate")
    paths.tls_key.write_text("key")


def plan_in(paths: Paths, place: Path) -> Any:
    from dataclasses import replace

    plan = edge_plan(settings(), paths)
    return replace(plan, run_dir=place, tls_certificate=place / "server.pem", tls_key=place / "server.key")


def test_the_edge_gets_copies_that_only_it_can_read(paths: Paths, tmp_path: Path) -> None:
    with_certificate(paths)
    place = tmp_path / "edge"
    nobody = Identity(65534, 65534) if os.geteuid() == 0 else None
    for _ in range(2):
        _prepare(plan_in(paths, place), paths, nobody)
    for path in (place / "server.pem", place / "server.key"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert nobody is None or path.stat().st_uid == 65534
    assert place.stat().st_mode & 0o777 == 0o700
    assert (place / "server.key").read_text() == "key"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_whoever_owns_the_edges_directory_cannot_have_other_files_given_to_them(
    paths: Paths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is the unprivileged edge's own: a name in it may become a link at any moment."""
    with_certificate(paths)
    place, victim = tmp_path / "edge", tmp_path / "victim"
    victim.write_text("root's")
    plan = plan_in(paths, place)
    real = os.fdopen

    def swap(descriptor: int, *arguments: Any, **options: Any) -> Any:
        for name in ("server.pem", "server.key"):
            link = place / name
            if link.exists() and not link.is_symlink():
                link.unlink()
                link.symlink_to(victim)
        return real(descriptor, *arguments, **options)

    monkeypatch.setattr(os, "fdopen", swap)
    _prepare(plan, paths, Identity(65534, 65534))
    assert victim.stat().st_uid == 0 and victim.read_text() == "root's"


def test_a_missing_certificate_is_said_with_the_remedy(paths: Paths, tmp_path: Path) -> None:
    with pytest.raises(Failure) as failure:
        _prepare(plan_in(paths, tmp_path / "edge"), paths, None)
    assert str(paths.tls_certificate) in str(failure.value) and "quickstart" in failure.value.remedy


def test_only_root_becomes_somebody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    from server import edge_process

    monkeypatch.setattr(edge_process.os, "geteuid", lambda: 1000)
    assert identity() is None
    monkeypatch.setattr(edge_process.os, "geteuid", lambda: 0)
    whoever = identity()
    assert whoever is not None and whoever.uid != 0 and whoever.gid != 0
    monkeypatch.setattr(edge_process, "UNPRIVILEGED", ("nobody-of-that-name",))
    with pytest.raises(Failure):
        identity()
