"""The data directory: what lies where. All state of one instance is under one directory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Paths:
    """Every place under the data directory `data`."""

    data: Path

    @property
    def config(self) -> Path:
        """The configuration; holds no secret."""
        return self.data / "beffroi.toml"

    @property
    def keys(self) -> Path:
        """Secrets of the server itself, 0700. No key in it opens a recording."""
        return self.data / "keys"

    @property
    def field_key(self) -> Path:
        """Master key for fields sealed in the database."""
        return self.keys / "field.key"

    @property
    def ledger_key(self) -> Path:
        """Ed25519 seed that signs ledger heads, receipts and KEKs."""
        return self.keys / "ledger.key"

    @property
    def proof_key(self) -> Path:
        """Ed25519 seed that signs proof tokens for the recorder."""
        return self.keys / "proof.key"

    @property
    def tls(self) -> Path:
        """Private authority and certificate."""
        return self.data / "tls"

    @property
    def tls_ca(self) -> Path:
        """Certificate of the private authority, to be installed on phones."""
        return self.tls / "ca.pem"

    @property
    def tls_certificate(self) -> Path:
        """Certificate of this server."""
        return self.tls / "server.pem"

    @property
    def tls_key(self) -> Path:
        """Private key of this server, 0600."""
        return self.tls / "server.key"

    @property
    def trunk_ca(self) -> Path:
        """Certificates that vouch for providers reached by TLS; not there: the authorities that this machine trusts."""
        return self.tls / "providers.pem"

    @property
    def database(self) -> Path:
        """SQLite database, used while storage.url is empty."""
        return self.data / "beffroi.sqlite3"

    @property
    def vault(self) -> Path:
        """Sealed recordings."""
        return self.data / "vault"

    def recording(self, rec_id: str) -> Path:
        """File of one recording: two levels of directories, a name that tells nothing.

        Raises ValueError unless `rec_id` is 32 lower-case hexadecimal digits.
        """
        if len(rec_id) != 32 or not set(rec_id) <= set("0123456789abcdef"):
            raise ValueError("a recording's id is 32 hexadecimal digits")
        return self.vault / rec_id[:2] / rec_id[2:4] / f"{rec_id}.rec"

    @property
    def prompts(self) -> Path:
        """Spoken prompts: public texts, no personal data."""
        return self.data / "prompts"

    @property
    def rates(self) -> Path:
        """What calls cost, where the company has entered it (`config.rates`)."""
        return self.data / "rates.toml"

    @property
    def custom_prompts(self) -> Path:
        """The company's own audio: <PROMPT_ID>.<language>.wav replaces the spoken text."""
        return self.prompts / "custom"

    @property
    def run(self) -> Path:
        """Sockets, lock and generated files of the running instance, 0700."""
        return self.data / "run"

    @property
    def lock(self) -> Path:
        """Lock file: one daemon per data directory."""
        return self.run / "lock"

    @property
    def control_socket(self) -> Path:
        """Socket on which the command line asks the daemon."""
        return self.run / "control.sock"

    @property
    def control_secret(self) -> Path:
        """Secret shared by the edge and the daemon, 0600."""
        return self.run / "control.secret"

    @property
    def edge_config(self) -> Path:
        """Generated configuration of the edge, 0600."""
        return self.run / "kamailio.cfg"

    @property
    def edge_rpc(self) -> Path:
        """RPC socket of the edge."""
        return self.run / "rpc.sock"

    def make(self) -> None:
        """Create the directories that are missing, for the owner only."""
        for place in (
            self.data,
            self.keys,
            self.tls,
            self.vault,
            self.prompts,
            self.custom_prompts,
            self.run,
        ):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
