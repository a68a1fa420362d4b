"""What a person is told when a command does not work. Light: the command line loads it before anything else."""

from __future__ import annotations


class Failure(Exception):
    """Something did not work. `what` and where in plain words, `remedy`: what to do about it. Neither holds a secret.

    `code` is for programs: misuse, configuration, not_found, taken, invalid, conflict, denied, locked, not_running,
    damaged, full, unavailable, failed.
    """

    def __init__(self, what: str, remedy: str, code: str = "failed") -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.code = code

    def __str__(self) -> str:
        return f"{self.what.rstrip('.')}. {self.remedy.rstrip('.')}."
