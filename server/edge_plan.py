"""From settings to what the edge is told; used by ``beffroi edge`` and, for the shared secret, by the daemon."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path
from typing import Literal

from config.addresses import Endpoint
from config.paths import Paths
from config.settings import Settings
from server.failure import Failure
from sip.edge.template import EdgeLimits, EdgePlan, EdgeTimers, Listen

_SECRET = re.compile(r"[0-9a-f]{64}")
RUN_DIR_PREFIX = "beffroi-"
RING_SPARE_S = 30  # a question may be asked while it rings no more, and the end is spoken


def control_secret(paths: Paths) -> str:
    """The secret between edge and daemon, hexadecimal; made by whichever of the two comes first. Raises Failure."""
    path = paths.control_secret
    try:
        if not path.exists():
            _make_secret(path)
        text = path.read_text(encoding="ascii", errors="replace").strip()
    except OSError as error:
        raise Failure(f"{path} cannot be read", "Run this as the user of the service, or as root") from error
    if not _SECRET.fullmatch(text):
        raise Failure(f"{path} is damaged", "Remove it, then restart edge and daemon: a new one is made", "damaged")
    return text


def _make_secret(path: Path) -> None:
    """Whole or not at all: the other of the two may be looking. Whoever comes second keeps what is there."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()


def edge_run_dir(paths: Paths) -> Path:
    """Where the edge keeps its generated files and sockets.

    Started by root the edge gives up its privileges, and a data directory under somebody's home is then out of its
    reach: it gets a directory of its own under /run, named by the data directory. Otherwise run/edge.
    """
    if os.geteuid() != 0:
        return paths.run / "edge"
    return Path("/run") / f"{RUN_DIR_PREFIX}{hashlib.sha256(str(paths.data.resolve()).encode()).hexdigest()[:12]}"


def edge_plan(settings: Settings, paths: Paths) -> EdgePlan:
    """Everything that the edge needs. Raises Failure."""
    sip, limits, run_dir = settings.sip, settings.limits, edge_run_dir(paths)
    return EdgePlan(
        domain=sip.domain,
        listens=(
            *(_listen("tls", text) for text in sip.tls_listen),
            *(_listen("tcp", text) for text in sip.tcp_listen),
            *(_listen("udp", text) for text in sip.udp_listen),
        ),
        worker_port=sip.worker_port,
        control_port=sip.control_port,
        control_secret=control_secret(paths),
        run_dir=run_dir,
        rpc_socket=run_dir / "rpc.sock",
        tls_certificate=run_dir / "server.pem",
        tls_key=run_dir / "server.key",
        trunk_ca=run_dir / "providers.pem" if paths.trunk_ca.exists() else None,
        media_address=settings.media.address,
        public_address=settings.media.public_address,
        local_networks=settings.media.local_networks,
        max_contacts_per_device=sip.max_contacts_per_device,
        registration_min_s=sip.registration_min_s,
        registration_max_s=sip.registration_max_s,
        limits=EdgeLimits(
            auth_failures_per_source=limits.auth_failures_per_source,
            auth_failure_window_s=limits.auth_failure_window_s,
            ban_s=limits.ban_s,
            requests_per_user_per_s=limits.requests_per_user_per_s,
            requests_per_connection_per_s=limits.requests_per_connection_per_s,
            requests_per_source_per_s=limits.requests_per_source_per_s,
            connections_max=limits.connections_max,
        ),
        timers=EdgeTimers(
            call_max_s=settings.calls.max_duration_s + 60,
            caller_waits_ms=(settings.calls.ring_timeout_s + RING_SPARE_S) * 1000,
        ),
    )


def _listen(proto: Literal["tls", "tcp", "udp"], text: str) -> Listen:
    endpoint = Endpoint.parse(text)
    return Listen(proto, str(endpoint.host), endpoint.port)
