"""Whose certificate is it? As OpenSSL answers that for `trunk_probe`: the two must agree.

RFC 5922 section 7 goes by the subject's alternative names; unlike it, OpenSSL takes a wildcard for the leftmost label,
and the common name where there is no alternative name of a host (RFC 6125 section 6.4). An address has to stand there
as one.
"""

from __future__ import annotations

import ipaddress

from cryptography import x509
from cryptography.x509.oid import NameOID


def names_host(pem: str, host: str) -> bool:
    """Whether this certificate is for `host`, a name or an address without brackets. False for what is none."""
    try:
        certificate = x509.load_pem_x509_certificate(pem.encode())
        names = _alternative(certificate)
        common = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        return False
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        hosts = names.get_values_for_type(x509.DNSName) if names is not None else []
        return any(_fits(pattern, host) for pattern in hosts or common)
    return names is not None and address in names.get_values_for_type(x509.IPAddress)


def _alternative(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def _fits(pattern: str, host: str) -> bool:
    pattern, host = pattern.lower(), host.lower().removesuffix(".")
    if not pattern.startswith("*."):
        return pattern == host
    label, _, rest = host.partition(".")
    return "." in pattern[2:] and rest == pattern[2:] and label != "" and not label.startswith("xn--")
