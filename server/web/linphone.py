"""What Linphone fetches to set itself up: its configuration as XML (Linphone's wiki, "Remote Provisioning").

The password is not in it: `ha1` proves as much, for our realm alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, tostring

from server.services.provisioning import Configuration

NAMESPACE = "http://www.linphone.org/xsds/lpconfig.xsd"


def xml(phone: Configuration) -> bytes:
    """One account, by TLS, its conversations encrypted or not at all."""
    root = Element("config", {"xmlns": NAMESPACE})
    _section(root, "sip", {"media_encryption": "srtp", "media_encryption_mandatory": "1", "default_proxy": "0"})
    _section(root, "auth_info_0", {
        "username": phone.user, "userid": phone.user, "ha1": phone.ha1, "realm": phone.domain, "domain": phone.domain,
        "algorithm": "MD5",
    })  # fmt: skip
    server = f"<sip:{phone.server};transport=tls>"
    _section(root, "proxy_0", {
        "reg_identity": f"sip:{phone.user}@{phone.domain}", "reg_proxy": server, "reg_route": server,
        "reg_sendregister": "1", "reg_expires": str(phone.expires_s), "realm": phone.domain, "publish": "0",
    })  # fmt: skip
    written: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return written


def _section(root: Element, name: str, entries: Mapping[str, str]) -> None:
    section = SubElement(root, "section", {"name": name})
    for key, value in entries.items():
        SubElement(section, "entry", {"name": key, "overwrite": "true"}).text = value
