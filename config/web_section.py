"""The section of the configuration file that is about the portal: where it listens, and its name."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, Field

from config.addresses import Endpoint, is_domain
from config.alert_section import webhook_address
from config.happenings import KINDS
from config.sections import RESTART, Section, network, wrong

HTTPS_PORT = 443

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,31}$")]


def _endpoint_or_empty(text: str) -> str:
    try:
        return str(Endpoint.parse(text)) if text else text
    except ValueError as error:
        raise wrong(str(error), "write ip:port, such as 192.0.2.1:8443, or leave it empty for no portal") from None


def _host(text: str) -> str:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        if is_domain(text) and not re.search(r"[^\x21-\x7e]", text):
            return text.lower().removesuffix(".")
        raise wrong("is not a host name", "write the name that people type, such as phone.example.org") from None
    # WebAuthn Level 3 section 5.1.2: the relying party's id is a domain.
    raise wrong("is an address: passkeys need a name", "write a name, such as phone.example.org")


def _path(text: str) -> str:
    if text and not text.startswith("/"):
        raise wrong("is not a full path", "write a path such as /etc/ssl/portal.pem, or leave it empty")
    return text


def _kind(text: str) -> str:
    if text not in KINDS:
        raise wrong("is nothing that is told", f"write some of {', '.join(KINDS)}")
    return text


class Webhook(Section):
    """One place that is told what happens. What it is signed with lies with the other secrets:
    webhook.NAME.password."""

    url: Annotated[str, AfterValidator(webhook_address)] = Field(
        default="", max_length=500, description="https://host/path; http:// for this machine alone."
    )
    login: str = Field(
        default="",
        max_length=64,
        description="The person whose rights say what it is told: what they may not see, it does not hear of.",
    )
    kinds: tuple[Annotated[str, AfterValidator(_kind)], ...] = Field(
        default=(), strict=False, max_length=len(KINDS), description=f"Of {', '.join(KINDS)}; empty: all."
    )
    numbers: bool = Field(
        default=False,
        description="Whether it is told the numbers of calls that have ended, as far as that person may see them.",
    )
    ca_file: Annotated[str, AfterValidator(_path)] = Field(
        default="", description="Certificates (PEM) that vouch for it; empty: those that this machine trusts."
    )


class Web(Section):
    """The portal: pages for people, and the interface for programs (REST). By TLS only."""

    listen: Annotated[str, AfterValidator(_endpoint_or_empty)] = Field(
        default="127.0.0.1:8443",
        json_schema_extra=RESTART,
        description="Where the portal is served, ip:port. Empty: there is no portal.",
    )
    host: Annotated[str, AfterValidator(_host)] = Field(
        default="localhost",
        json_schema_extra=RESTART,
        description=(
            "The name that people type in the browser: links, sign-in and passkeys hang on it. A passkey made under "
            "one name does not work under another."
        ),
    )
    port: int = Field(
        default=0,
        ge=0,
        le=65535,
        json_schema_extra=RESTART,
        description="The port that people type, where a proxy stands before it; 0: that of web.listen.",
    )
    certificate: Annotated[str, AfterValidator(_path)] = Field(
        default="",
        json_schema_extra=RESTART,
        description="The portal's certificate with its chain (PEM). Empty: that of the phones, tls/server.pem.",
    )
    key: Annotated[str, AfterValidator(_path)] = Field(
        default="",
        json_schema_extra=RESTART,
        description="The key to web.certificate (PEM, without a passphrase), readable by the service's user alone.",
    )
    behind_proxy: tuple[Annotated[str, AfterValidator(network)], ...] = Field(
        default=(),
        strict=False,
        max_length=16,
        json_schema_extra=RESTART,
        description="Networks of proxies before the portal, whose X-Forwarded-For is believed; nobody else's is.",
    )

    webhooks: dict[Name, Webhook] = Field(
        default={},
        description="Who is told what happens, each under a name: [web.webhooks.NAME]. Nobody else ever is.",
        json_schema_extra=RESTART,
    )

    @property
    def origin(self) -> str:
        """What stands before each path of the portal: https://host, with the port where it is not 443."""
        port = self.port or (Endpoint.parse(self.listen).port if self.listen else HTTPS_PORT)
        return f"https://{self.host}" + ("" if port == HTTPS_PORT else f":{port}")
