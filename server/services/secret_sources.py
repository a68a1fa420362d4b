"""The secrets' source that the configuration names, and its errors as a person is told them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from config.paths import Paths
from config.secrets import FileSecrets, Pkcs11Secrets, SecretError, SystemdSecrets
from config.settings import Settings
from server.failure import Failure

Getter = Callable[[str], bytes]


@contextmanager
def source(settings: Settings, paths: Paths) -> Iterator[Getter]:
    """What gives a secret by its name, until the block ends. Raises Failure, as the getter does."""
    try:
        if settings.secrets.source == "systemd":
            yield SystemdSecrets().get
        elif settings.secrets.source == "files":
            yield FileSecrets(paths.keys).get
        else:
            token = _token(settings, paths)
            try:
                yield token.get
            finally:
                token.close()
    except SecretError as error:
        what, _, remedy = str(error).partition(": ")
        raise Failure(what, (remedy[:1].upper() + remedy[1:]) or "Type: beffroi doctor", "denied") from None


def is_there(settings: Settings, paths: Paths, name: str) -> bool:
    """Whether the source holds that secret."""
    places = {
        "files": paths.keys / name,
        "systemd": Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nonexistent")) / name,
        "pkcs11": paths.keys / f"{name}.p11",
    }
    return places[settings.secrets.source].exists()


def _token(settings: Settings, paths: Paths) -> Pkcs11Secrets:
    chosen = settings.secrets
    return Pkcs11Secrets(
        paths.keys,
        module=chosen.pkcs11_module,
        token_label=chosen.pkcs11_token_label,
        key_label=chosen.pkcs11_key_label,
        pin=FileSecrets(paths.keys).get("pkcs11.pin").decode().strip(),
    )
