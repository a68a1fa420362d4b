"""What can go wrong in the database, as one tree.

StorageError
├── NotFound            no such row (or it is disabled, revoked, destroyed: the message says)
├── Duplicate           `.field` already holds that value
├── Invalid             a value that the caller must not store (`.field`, reason); nothing was written
├── Conflict            the row's present state forbids the change; or another row still refers to it
├── ReadOnly            a write inside `Database.read()`
├── LedgerRefused       a ledger payload outside of the allow-list: it might name somebody
├── SchemaTooNew        the database was written by a newer Beffroi
├── WrongFieldKey       the field key is not the one this database was sealed with
├── SealBroken          a sealed field does not open: altered, moved, or of an unknown key version
└── Unavailable         the database does not answer in time, or cannot be reached
        └── Full            no space left to write

After any of these leave the transaction: PostgreSQL accepts nothing more in it, so neither do we promise it.
Messages never hold a stored value, only table, column and opaque id.
"""


class StorageError(Exception):
    """Root of everything that this room raises on purpose."""


class NotFound(StorageError):
    def __init__(self, what: str, row_id: str = "") -> None:
        self.what, self.row_id = what, row_id
        super().__init__(f"no {what} {row_id}".rstrip())


class Duplicate(StorageError):
    def __init__(self, field: str) -> None:
        self.field = field
        super().__init__(f"{field} is already taken")


class Invalid(StorageError):
    def __init__(self, field: str, reason: str) -> None:
        self.field, self.reason = field, reason
        super().__init__(f"{field}: {reason}")


class Conflict(StorageError):
    pass


class ReadOnly(StorageError):
    pass


class LedgerRefused(StorageError):
    pass


class SchemaTooNew(StorageError):
    pass


class WrongFieldKey(StorageError):
    pass


class SealBroken(StorageError):
    pass


class Unavailable(StorageError):
    pass


class Full(Unavailable):
    pass
