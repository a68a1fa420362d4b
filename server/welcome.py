"""What somebody reads who has just started their first instance, and again whenever they type `beffroi welcome`."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from config.paths import Paths
from config.settings import Settings
from server.shown_once import device_uri, otpauth_uri, qr

if TYPE_CHECKING:  # scripts/run has it shown at each start, and what sets an instance up takes a second to load
    from server.quickstart import FirstSecrets

DEMO_PACK = "REC_QUALITY"
"""Of the line 200 that quickstart makes."""
WIDTH = 78


def secrets_text(settings: Settings, first: FirstSecrets, *, with_qr: bool) -> str:
    """What is shown once."""
    domain, port = settings.sip.domain, tls_port(settings)
    parts = ["Shown once: write these down now. No file on this machine holds them."]
    for device in first.devices:
        parts.append(f"Phone of {device.account} (extension {device.extension})\n"
                     f"    user      {device.user}\n    password  {device.password}")  # fmt: skip
        if with_qr:
            parts.append(qr(device_uri(device.user, device.password, domain, port)))
    parts.append(f"Person who may listen to recordings: {first.reader_login}\n"
                 f"    passphrase   {first.reader_passphrase}\n"
                 f"    TOTP secret  {first.reader_totp}\n"
                 "    (put the TOTP secret into an authenticator program; listening asks for both)")  # fmt: skip
    if with_qr:
        parts.append(qr(otpauth_uri(first.reader_login, first.reader_totp, settings.company.name)))
    parts.append("Escrow key, to be kept on paper away from this machine. It opens every recording\n"
                 "if all readers are lost:\n" + textwrap.indent(_groups(first.escrow), "    "))  # fmt: skip
    if with_qr:
        parts.append(qr(first.escrow))
    return "\n\n".join(parts) + "\n"


def text(settings: Settings, data: Path) -> str:
    """Without any secret."""
    paths = Paths(data)
    sip = settings.sip
    host = sip.domain
    plain = [
        f"{', '.join(listen)} ({proto})"
        for proto, listen in (("UDP", sip.udp_listen), ("TCP", sip.tcp_listen))
        if listen
    ]
    rows = [
        ("phones, TLS", ", ".join(sip.tls_listen) or "not served"),
        ("phones, plain", "; ".join(plain) or "not served"),
        ("audio", f"{settings.media.address}, UDP {settings.media.rtp_port_first}-{settings.media.rtp_port_last}"),
        ("portal", settings.web.origin if settings.web.listen else "not served"),
        ("health", f"http://{settings.http.listen}/healthz and /metrics"),
    ]
    softphone = [
        ("user", "the user shown at set-up, such as alice-k3f9 (beffroi device list)"),
        ("password", "shown once; for another:  beffroi device add alice"),
        ("domain", host),
        ("server", f"{phones_server(settings)}  (transport TLS)"),
        ("encryption", "SRTP, SDES, mandatory"),
        ("trust", f"the authority in {paths.tls_ca}"),
    ]
    dial = [
        ("*43", "echo test; you are asked whether it may be recorded: press 1"),
        ("200", f"rings alice and bob, recorded after a yes ({DEMO_PACK})"),
        ("201", "rings alice and bob; never recorded, leaves no trace"),
        ("101, 102", "alice, bob"),
    ]
    parts = [
        _title("What listens where") + _rows(rows),
        _title("What to type into a softphone") + _rows(softphone) + _plain_hint(settings),
        _title("What to dial") + _rows(dial),
        _title("Before anybody relies on it")
        + "    NO EMERGENCY CALL LEAVES THIS HOUSE until a trunk is added:\n"
        + "    beffroi trunk add. beffroi doctor says how it stands.\n",
        _title("How to open the portal")
        + '    beffroi person add me "My name" --roles admin,employee\n'
        + "    beffroi person invite me\n"
        + "    beffroi account give alice me\n"
        + "    The invitation is a link, shown once: open it in a browser on this machine,\n"
        + "    within a day. The last line makes alice's phone yours.\n",
        _title("How to open the first recording")
        + "    beffroi recordings list\n"
        + '    beffroi recordings open ID --as reader --reason "first try"\n'
        + "    It asks for the reader's passphrase and for the code of the authenticator.\n",
    ]
    return "\n".join(parts)


def tls_port(settings: Settings) -> int:
    """Where phones come by TLS, 5061 where nothing is said."""
    return int(settings.sip.tls_listen[0].rpartition(":")[2]) if settings.sip.tls_listen else 5061


def phones_server(settings: Settings) -> str:
    """host:port that phones come to by TLS."""
    listen = settings.sip.tls_listen[0] if settings.sip.tls_listen else settings.sip.domain
    host, _, port = listen.rpartition(":")
    return f"{settings.media.address}:{port}" if host in ("0.0.0.0", "[::]") else listen  # noqa: S104


def _plain_hint(settings: Settings) -> str:
    if not settings.sip.udp_listen:
        return ""
    return (
        "  On this machine a phone without TLS may be used as well:\n"
        f"    server {settings.sip.udp_listen[0]}, transport UDP or TCP, no SRTP; user as above.\n"
    )


def _title(words: str) -> str:
    return f"{words}\n"


def _rows(rows: list[tuple[str, str]]) -> str:
    out = []
    for name, value in rows:
        wrapped = textwrap.wrap(value, WIDTH - 19, break_long_words=False, break_on_hyphens=False) or [""]
        out += [f"    {name:<15}{wrapped[0]}", *(" " * 19 + more for more in wrapped[1:])]
    return "\n".join(out) + "\n"


def _groups(escrow: str) -> str:
    groups = escrow.split("-")
    return "\n".join(
        "-".join(groups[i : i + 7]) + ("-" if i + 7 < len(groups) else "") for i in range(0, len(groups), 7)
    )
