"""Addresses as they are written in the configuration: `ip:port`, and the names of SIP domains."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port to listen on. `str()` gives back what `parse` takes."""

    host: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Read `192.0.2.1:5061` or `[2001:db8::1]:5061`. Raises ValueError saying what is wrong."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
            raise ValueError("has no port between 1 and 65535")
        bracketed = host.startswith("[") and host.endswith("]")
        try:
            address = ipaddress.ip_address(host[1:-1] if bracketed else host)
        except ValueError:
            raise ValueError("does not start with an IP address") from None
        if bracketed != (address.version == 6):
            raise ValueError("needs brackets around an IPv6 address, and only there")
        return cls(address, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if self.host.version == 6 else str(self.host)
        return f"{host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Reachable from this machine only."""
        return self.host.is_loopback

    @property
    def is_wildcard(self) -> bool:
        """Every address of the machine (0.0.0.0 or ::)."""
        return self.host.is_unspecified

    def overlaps(self, other: Endpoint) -> bool:
        """True where the two cannot both be bound with one transport protocol."""
        if self.port != other.port:
            return False
        # On Linux [::] takes IPv4 too unless told otherwise, so a wildcard meets everything.
        return self.host == other.host or self.is_wildcard or other.is_wildcard


def is_domain(text: str) -> bool:
    """A host name (RFC 1123 section 2.1), an IPv4 address, or an IPv6 address in brackets."""
    try:
        bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
        return (ipaddress.ip_address(bare).version == 6) == (bare != text)
    except ValueError:
        pass
    labels = text.removesuffix(".").split(".")
    if len(text) > 253 or labels[-1].isdigit():
        return False
    return all(_LABEL.fullmatch(label) for label in labels)
