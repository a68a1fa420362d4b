"""A private certificate authority and the server's certificate (RFC 5280), for phones that are told to trust it.

ECDSA P-256, because old desk phones know nothing newer. The authority's key stays in keys/, so that a certificate can
be renewed, or made for another address, without touching a phone.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CA_DAYS = 3650
SERVER_DAYS = 820  # under the 825 days that Apple's systems accept
RENEW_BEFORE = timedelta(days=30)
_SKEW = timedelta(hours=1)  # phones whose clock is a little behind

Names = tuple[str, ...]  # host names and IP addresses as texts


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def new_authority(name: str, now: datetime) -> Pair:
    """Self-signed, may only sign end certificates."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(f"{name} private CA")
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    certificate = (
        _builder(subject, subject, key.public_key(), now, CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def new_server(authority: Pair, names: Names, now: datetime) -> Pair:
    """For these names; at least one. Raises ValueError where the authority's PEM is damaged."""
    issuer = x509.load_pem_x509_certificate(authority.certificate)
    issuer_key = serialization.load_pem_private_key(authority.key, None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey):
        raise ValueError("the authority's key is of another kind")
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    certificate = (
        _builder(_subject(names[0]), issuer.subject, key.public_key(), now, SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_issuer_id(issuer), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )
    return Pair(certificate.public_bytes(serialization.Encoding.PEM), _pem(key))


def names_for(domain: str, addresses: Iterable[str]) -> Names:
    """What phones may call this server: the domain, its addresses, the machine's own name, loopback."""
    wanted = [domain.strip("[]"), *addresses, socket.gethostname(), "localhost", "127.0.0.1"]
    return tuple(dict.fromkeys(name for name in wanted if name))


def names_of(pem: bytes) -> Names:
    """The names in a certificate. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(pem)
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = found.get_values_for_type(x509.DNSName)
    return tuple(dict.fromkeys((*hosts, *(str(one) for one in found.get_values_for_type(x509.IPAddress)))))


def expires_at(pem: bytes) -> datetime:
    """Raises ValueError."""
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def belongs_to(pair: Pair, authority: bytes) -> bool:
    """Whether key and certificate fit each other and the authority signed it. Raises ValueError."""
    certificate = x509.load_pem_x509_certificate(pair.certificate)
    key = serialization.load_pem_private_key(pair.key, None)
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority))
    except Exception:  # noqa: BLE001 - cryptography raises three kinds; each means no
        return False
    return key.public_key() == certificate.public_key()


def _builder(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _subject(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])


def _issuer_id(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)


def _general_names(names: Names) -> list[x509.GeneralName]:
    """Addresses of IPv4 as host names as well, after all others: the Linphone of Debian 12 (5.1) compares host names
    alone, and would refuse a server that it is told to reach by an address."""
    found = [_general_name(name) for name in names]
    addresses = [one.value for one in found if isinstance(one, x509.IPAddress)]
    return found + [x509.DNSName(str(one)) for one in addresses if isinstance(one, ipaddress.IPv4Address)]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
