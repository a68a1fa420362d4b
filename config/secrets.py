"""Where the server's own secrets come from: checked files, systemd credentials, or files sealed by a PKCS#11 token.

Whatever the source, a secret is bytes under a name (`field.key`, `database.password`). Nothing here is ever logged,
and no secret stands in the configuration.
"""

from __future__ import annotations

import os
import pwd
import re
import secrets as randomness
import stat
import threading
from pathlib import Path
from typing import Any, Protocol

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_MAX_BYTES = 65_536


class SecretError(Exception):
    """A secret cannot be had. The message names the place and the remedy, never the secret."""


class SecretStore(Protocol):
    """A source of secrets."""

    def get(self, name: str) -> bytes:
        """The secret's bytes as they were stored. Raises SecretError."""


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name) or ".." in name:
        raise SecretError(f"{name!r} is not a name of a secret")
    return name


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _as_whom(owner: int) -> str:
    """What to do about a secret of somebody else's. Never a change of owner: the service would lose its own keys."""
    return f"run this as that user: `runuser -u {_user(owner)} -- beffroi ...`, if it is the service's"


def _read_checked(path: Path, forbidden: int) -> bytes:
    """Read a file of ours (or root's) without the `forbidden` mode bits; links are not followed."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise SecretError(f"{path} is missing: restore it from the key backup, or run `beffroi doctor`") from None
    except OSError as error:
        raise SecretError(
            f"{path} cannot be read ({error.strerror}): it must be a file of the service's user"
        ) from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        _check(path, status, forbidden)
        content = file.read(_MAX_BYTES + 1)
    if not content or len(content) > _MAX_BYTES:
        raise SecretError(f"{path} holds {'nothing' if not content else 'more than a secret'}: restore it")
    return content


def _check(path: Path, status: os.stat_result, forbidden: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise SecretError(f"{path} is not a file")
    if status.st_uid not in (os.geteuid(), 0):
        raise SecretError(f"{path} belongs to {_user(status.st_uid)}: {_as_whom(status.st_uid)}")
    if status.st_mode & forbidden:
        mode = stat.S_IMODE(status.st_mode)
        raise SecretError(f"{path} has mode {mode:04o}, others may touch it: run `chmod 600 {path}`")


class FileSecrets:
    """One file a secret in a directory that only the service's user can enter."""

    def __init__(self, directory: Path) -> None:
        self._dir = directory

    def get(self, name: str) -> bytes:
        """Raises SecretError where the file or its directory may be touched by anybody else."""
        self._check_directory()
        return _read_checked(self._dir / _checked_name(name), 0o177)

    def put(self, name: str, value: bytes) -> None:
        """Store a new secret, 0600, durably. Raises SecretError where it exists: secrets are not overwritten."""
        path = self._dir / _checked_name(name)
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check_directory()
        write_new(path, value)

    def _check_directory(self) -> None:
        try:
            status = self._dir.stat()
        except OSError as error:
            raise SecretError(f"{self._dir} cannot be entered ({error.strerror}): run `beffroi quickstart`") from None
        if status.st_uid not in (os.geteuid(), 0):
            raise SecretError(f"{self._dir} belongs to {_user(status.st_uid)}: {_as_whom(status.st_uid)}")
        if status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise SecretError(f"{self._dir} has mode {mode:04o}: run `chmod 700 {self._dir}`")


def write_new(path: Path, value: bytes) -> None:
    """A new file, 0600, there as a whole or not at all. Raises SecretError where it exists or cannot be written."""
    part = path.with_name(f".{path.name}.{randomness.token_hex(8)}")
    try:
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(value)
            file.flush()
            os.fsync(file.fileno())
        os.link(part, path)  # unlike a rename, a link never replaces what is there
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except FileExistsError:
        raise SecretError(f"{path} is there already: a secret is never overwritten") from None
    except OSError as error:
        raise SecretError(f"{path} cannot be written ({error.strerror})") from None
    finally:
        part.unlink(missing_ok=True)


class SystemdSecrets:
    """Credentials that systemd hands to the unit (LoadCredential=, SetCredentialEncrypted=)."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory`: $CREDENTIALS_DIRECTORY where it is not given. Raises SecretError where that is not set."""
        named = os.environ.get("CREDENTIALS_DIRECTORY", "")
        if directory is None and not named:
            raise SecretError("$CREDENTIALS_DIRECTORY is not set: start under systemd with LoadCredential=, "
                              "or choose secrets.source 'files'")  # fmt: skip
        self._dir = directory or Path(named)

    def get(self, name: str) -> bytes:
        """Raises SecretError where the unit was not given that credential."""
        path = self._dir / _checked_name(name)
        if not path.exists():
            raise SecretError(f"credential {name} was not handed over: add LoadCredential={name}:... to the unit")
        return _read_checked(path, 0o037)  # systemd may let the unit's group read


_MAGIC = b"beffroi/p11/1\0"
_NONCE_BYTES = 12


class Pkcs11Secrets:
    """Files `<name>.p11`, each sealed (AES-256-GCM) by a key that never leaves the token.

    The name is bound to the content, so that one file cannot stand for another. Needs the extra `pkcs11`.
    """

    def __init__(self, directory: Path, *, module: str, token_label: str, key_label: str, pin: str) -> None:
        """Opens the token. Raises SecretError: library or token missing, wrong PIN, no such key, key extractable."""
        self._dir = directory
        self._lock = threading.Lock()  # a PKCS#11 session does one thing at a time
        pkcs11 = _pkcs11()
        try:
            token = pkcs11.lib(module).get_token(token_label=token_label)
            self._session = token.open(user_pin=pin)
        except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
            raise SecretError(f"PKCS#11 token {token_label!r} by {module} cannot be opened "
                              f"({type(error).__name__}): check secrets.pkcs11_* and the PIN") from None  # fmt: skip
        try:
            self._key = self._session.get_key(
                object_class=pkcs11.ObjectClass.SECRET_KEY, key_type=pkcs11.KeyType.AES, label=key_label
            )
            extractable = self._key[pkcs11.Attribute.EXTRACTABLE]
        except pkcs11.PKCS11Error as error:
            self.close()
            raise SecretError(f"the token has no one AES key labelled {key_label!r} ({type(error).__name__}): "
                              "correct secrets.pkcs11_key_label") from None  # fmt: skip
        if extractable:
            self.close()
            raise SecretError(f"the AES key {key_label!r} may be taken out of the token: make one that may not")

    def get(self, name: str) -> bytes:
        """Raises SecretError where the file is missing, or was not sealed by this key under this name."""
        pkcs11 = _pkcs11()
        path = self._dir / f"{_checked_name(name)}.p11"
        sealed = _read_checked(path, 0o022)
        if not sealed.startswith(_MAGIC):
            raise SecretError(f"{path} is not a sealed secret")
        nonce, box = sealed[len(_MAGIC) :][:_NONCE_BYTES], sealed[len(_MAGIC) + _NONCE_BYTES :]
        try:
            with self._lock:
                return bytes(self._key.decrypt(box, mechanism=pkcs11.Mechanism.AES_GCM,
                                               mechanism_param=_gcm(nonce, name)))  # fmt: skip
        except pkcs11.PKCS11Error as error:
            raise SecretError(f"{path} cannot be opened by the token's key ({type(error).__name__}): "
                              "it was changed, renamed, or sealed by another key") from None  # fmt: skip

    def put(self, name: str, value: bytes) -> None:
        """Seal and store a new secret. Raises SecretError where it exists."""
        pkcs11 = _pkcs11()
        nonce = os.urandom(_NONCE_BYTES)
        try:
            with self._lock:
                box = self._key.encrypt(value, mechanism=pkcs11.Mechanism.AES_GCM,
                                        mechanism_param=_gcm(nonce, _checked_name(name)))  # fmt: skip
        except pkcs11.PKCS11Error as error:
            raise SecretError(f"the token would not seal {name} ({type(error).__name__})") from None
        self._dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_new(self._dir / f"{name}.p11", _MAGIC + nonce + bytes(box))

    def close(self) -> None:
        """Sign out of the token."""
        self._session.close()


def make_token_key(*, module: str, token_label: str, key_label: str, pin: str) -> None:
    """Make the AES-256 key in the token: non-extractable, sensitive. Raises SecretError."""
    pkcs11 = _pkcs11()
    attribute = pkcs11.Attribute
    try:
        with pkcs11.lib(module).get_token(token_label=token_label).open(user_pin=pin, rw=True) as session:
            session.generate_key(
                pkcs11.KeyType.AES,
                256,
                label=key_label,
                store=True,
                capabilities=pkcs11.MechanismFlag.ENCRYPT | pkcs11.MechanismFlag.DECRYPT,
                template={attribute.EXTRACTABLE: False, attribute.SENSITIVE: True},
            )
    except (pkcs11.PKCS11Error, RuntimeError, OSError) as error:
        raise SecretError(f"no key could be made in token {token_label!r} ({type(error).__name__})") from None


def _pkcs11() -> Any:
    try:
        import pkcs11  # noqa: PLC0415 - an optional extra
    except ImportError:
        raise SecretError("secrets.source 'pkcs11' needs python-pkcs11: pip install 'beffroi[pkcs11]'") from None
    return pkcs11


def _gcm(nonce: bytes, name: str) -> Any:
    return _pkcs11().GCMParams(nonce, aad=name.encode(), tag_bits=128)
