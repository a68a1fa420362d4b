"""Reads a sealed file at any place, releasing nothing unauthentic. docs/recording-format.md sections 2 and 3.

cryptography's own decryptor goes from front to back and learns of a missing end only there; who streams with seeks must
know first whether the file is whole. So the last chunk is authenticated at opening.
"""

import hmac
import io
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from recording.format import (
    CHUNK_BYTES,
    COMMITMENT_BYTES,
    HEADER_BYTES,
    SALT_BYTES,
    SEALED_CHUNK_BYTES,
    TAG_BYTES,
    State,
    audio_context,
)

_LABEL: Final = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\0"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SealError(Exception):
    """Base: the file does not open as asked."""


class WrongKey(SealError):
    """The commitment does not fit: another key, recording or purpose, or a damaged header."""


class Truncated(SealError):
    """The end is missing (strict only)."""


class Damaged(SealError):
    """A chunk does not authenticate: altered, exchanged, or followed by something that does not belong there."""


class SealedReader(io.RawIOBase):
    """The Ogg stream of a sealed file, seekable.

    Strict (the default) opens whole files only; a chunk damaged in the middle raises Damaged when it is reached,
    and authenticate_all() finds it beforehand. Tolerant opens the longest authentic prefix of full chunks and says so.
    """

    def __init__(
        self, file: io.BufferedIOBase | io.RawIOBase, dek: bytes, rec_id: str, purpose: str, *, tolerant: bool = False
    ) -> None:
        """Raises WrongKey, Truncated, Damaged, OSError. The file stays the caller's."""
        super().__init__()
        self._file = file
        self._position = 0
        self._cached: tuple[int, bytes] = (-1, b"")  # number and plaintext of the chunk last opened
        self._aead, self._nonce = _derive(_exactly(file, 0, HEADER_BYTES), dek, audio_context(rec_id, purpose))
        sealed_bytes = file.seek(0, io.SEEK_END) - HEADER_BYTES
        self._full_chunks, self._last_bytes = divmod(sealed_bytes, SEALED_CHUNK_BYTES)
        self.state: Final[State] = self._settle_end(tolerant)
        last_plain_bytes = self._last_bytes - TAG_BYTES if self.state == "whole" else 0
        self.size_bytes: Final = self._full_chunks * CHUNK_BYTES + last_plain_bytes

    def authenticate_all(self) -> None:
        """Open every chunk once, in order. Raises Damaged. 1 GB takes about a second."""
        for number in range(self._full_chunks):
            self._open(number)

    def readable(self) -> Literal[True]:
        """Always."""
        return True

    def seekable(self) -> Literal[True]:
        """Always."""
        return True

    def tell(self) -> int:
        """Position in the Ogg stream, bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Position in the Ogg stream, bytes; beyond the end is allowed and reads nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Fills at most to the end of the chunk. Raises Damaged."""
        view = memoryview(buffer).cast("B")
        wanted = min(len(view), self.size_bytes - self._position)
        if wanted <= 0:
            return 0
        number, offset = divmod(self._position, CHUNK_BYTES)
        if self._cached[0] != number:
            self._cached = number, self._open(number)
        part = self._cached[1][offset : offset + wanted]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _settle_end(self, tolerant: bool) -> State:
        """Decide whole or cut; cut leaves in _full_chunks what may be released."""
        if not tolerant:
            if self._last_bytes < TAG_BYTES:
                raise Truncated("the end of the recording is missing")
            try:
                self._open(self._full_chunks)
            except Damaged:
                raise Truncated("the end of the recording is missing or damaged") from None
            return "whole"
        for number in range(self._full_chunks + (self._last_bytes >= TAG_BYTES)):
            try:
                self._open(number)
            except Damaged:
                self._full_chunks = number
                return "cut"
        return "whole" if self._last_bytes >= TAG_BYTES else "cut"

    def _open(self, number: int) -> bytes:
        size_bytes = SEALED_CHUNK_BYTES if number < self._full_chunks else self._last_bytes
        sealed = _exactly(self._file, HEADER_BYTES + number * SEALED_CHUNK_BYTES, size_bytes)
        nonce = (self._nonce ^ number).to_bytes(_NONCE_BYTES, "big")
        try:
            return self._aead.decrypt(nonce, sealed, None)
        except InvalidTag:
            raise Damaged(f"chunk {number} is not what was sealed") from None


def _derive(header: bytes, dek: bytes, context: bytes) -> tuple[AESGCM, int]:
    salt, commitment = header[:SALT_BYTES], header[SALT_BYTES:]
    size_bytes = _KEY_BYTES + _NONCE_BYTES + COMMITMENT_BYTES
    material = HKDFExpand(SHA512(), size_bytes, _LABEL + salt + context).derive(dek)
    if not hmac.compare_digest(commitment, material[_KEY_BYTES + _NONCE_BYTES :]):
        raise WrongKey("this key does not open this recording")
    return AESGCM(material[:_KEY_BYTES]), int.from_bytes(material[_KEY_BYTES:-COMMITMENT_BYTES], "big")


def _exactly(file: io.BufferedIOBase | io.RawIOBase, offset: int, size_bytes: int) -> bytes:
    file.seek(offset)
    data = bytearray()
    while len(data) < size_bytes:
        block = file.read(size_bytes - len(data))
        if not block:
            raise Truncated("the file is shorter than it should be")
        data += block
    return bytes(data)
