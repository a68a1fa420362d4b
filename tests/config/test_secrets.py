from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.secrets import FileSecrets, Pkcs11Secrets, SecretError, SystemdSecrets, make_token_key

SECRET = b"\x00\xff 32 bytes of a field key, or so"


@pytest.fixture
def store(tmp_path: Path) -> FileSecrets:
    store = FileSecrets(tmp_path / "keys")
    store.put("field.key", SECRET)
    return store


def test_a_secret_comes_back_and_is_the_owners_alone(store: FileSecrets, tmp_path: Path) -> None:
    assert store.get("field.key") == SECRET
    assert (tmp_path / "keys" / "field.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert [p.name for p in (tmp_path / "keys").iterdir()] == ["field.key"]


def test_a_secret_is_never_overwritten(store: FileSecrets) -> None:
    with pytest.raises(SecretError, match="never overwritten"):
        store.put("field.key", b"another")
    assert store.get("field.key") == SECRET


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o700])
def test_a_file_that_others_may_touch_is_refused_with_the_remedy(store: FileSecrets, tmp_path: Path, mode: int) -> None:
    (tmp_path / "keys" / "field.key").chmod(mode)
    with pytest.raises(SecretError, match="chmod 600"):
        store.get("field.key")


@pytest.mark.parametrize("mode", [0o750, 0o705, 0o777])
def test_a_directory_that_others_may_enter_is_refused(store: FileSecrets, tmp_path: Path, mode: int) -> None:
    (tmp_path / "keys").chmod(mode)
    with pytest.raises(SecretError, match="chmod 700"):
        store.get("field.key")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(store: FileSecrets, tmp_path: Path) -> None:
    os.chown(tmp_path / "keys" / "field.key", 12345, 12345)
    with pytest.raises(SecretError, match="belongs to user 12345"):
        store.get("field.key")


def test_links_missing_and_empty_files_and_odd_names(store: FileSecrets, tmp_path: Path) -> None:
    (tmp_path / "keys" / "link").symlink_to(tmp_path / "keys" / "field.key")
    (tmp_path / "keys" / "empty").touch(0o600)
    for name in ("link", "empty", "absent", "../keys/field.key", "", "a/b", "Field.key", ".field"):
        with pytest.raises(SecretError) as caught:
            store.get(name)
        assert SECRET.decode("latin-1") not in str(caught.value)
    with pytest.raises(SecretError, match="quickstart"):
        FileSecrets(tmp_path / "nowhere").get("field.key")


def test_credentials_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(SecretError, match="LoadCredential"):
        SystemdSecrets()
    (tmp_path / "field.key").write_bytes(SECRET)
    (tmp_path / "field.key").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert SystemdSecrets().get("field.key") == SECRET
    with pytest.raises(SecretError, match="LoadCredential=ledger.key"):
        SystemdSecrets().get("ledger.key")
    (tmp_path / "field.key").chmod(0o444)
    with pytest.raises(SecretError, match="mode"):
        SystemdSecrets().get("field.key")


MODULES = ("/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so")


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A software token of its own. The library reads its configuration once, so one token serves the module."""
    module = next((path for path in MODULES if Path(path).exists()), None)
    util = shutil.which("softhsm2-util")
    if module is None or util is None:
        pytest.fail("softhsm2 is missing: apt-get install softhsm2")
    place = tmp_path_factory.mktemp("token")
    (place / "tokens").mkdir()
    (place / "softhsm2.conf").write_text(f"directories.tokendir = {place}/tokens\nobjectstore.backend = file\n")
    before = os.environ.get("SOFTHSM2_CONF")
    os.environ["SOFTHSM2_CONF"] = str(place / "softhsm2.conf")
    init = [util, "--init-token", "--free", "--label", "beffroi", "--pin", "1234", "--so-pin", "5678"]
    subprocess.run(init, check=True, capture_output=True)
    access = {"module": module, "token_label": "beffroi", "key_label": "beffroi", "pin": "1234"}
    make_token_key(**access)
    yield access
    if before is None:
        del os.environ["SOFTHSM2_CONF"]


def test_a_token_opens_what_it_sealed_and_nothing_else(token: dict[str, str], tmp_path: Path) -> None:
    store = Pkcs11Secrets(tmp_path / "keys", **token)
    try:
        store.put("field.key", SECRET)
        sealed = tmp_path / "keys" / "field.key.p11"
        assert store.get("field.key") == SECRET
        assert SECRET not in sealed.read_bytes()
        with pytest.raises(SecretError, match="never overwritten"):
            store.put("field.key", b"another")
        shutil.copy(sealed, tmp_path / "keys" / "ledger.key.p11")
        with pytest.raises(SecretError, match="changed, renamed"):
            store.get("ledger.key")
        content = bytearray(sealed.read_bytes())
        for at in (len(content) - 1, 20, 40):
            broken = bytearray(content)
            broken[at] ^= 1
            sealed.write_bytes(broken)
            with pytest.raises(SecretError):
                store.get("field.key")
        sealed.write_bytes(b"plain")
        with pytest.raises(SecretError, match="not a sealed secret"):
            store.get("field.key")
        with pytest.raises(SecretError, match="missing"):
            store.get("proof.key")
    finally:
        store.close()


def test_a_wrong_pin_token_key_or_library_is_told(token: dict[str, str], tmp_path: Path) -> None:
    for wrong in (
        {"pin": "9999"},
        {"token_label": "other"},
        {"key_label": "other"},
        {"module": str(tmp_path / "x.so")},
    ):
        with pytest.raises(SecretError) as caught:
            Pkcs11Secrets(tmp_path, **(token | wrong))
        assert "9999" not in str(caught.value)


def test_a_key_that_could_leave_the_token_is_refused(token: dict[str, str], tmp_path: Path) -> None:
    import pkcs11

    with pkcs11.lib(token["module"]).get_token(token_label="beffroi").open(user_pin="1234", rw=True) as session:
        template = {pkcs11.Attribute.EXTRACTABLE: True, pkcs11.Attribute.SENSITIVE: False}
        session.generate_key(pkcs11.KeyType.AES, 256, label="loose", store=True, template=template)
    with pytest.raises(SecretError, match="taken out of the token"):
        Pkcs11Secrets(tmp_path, **(token | {"key_label": "loose"}))
