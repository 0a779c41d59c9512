"""What can go wrong, and the exit code that each kind of failure has on the command line.

Every error that a user can cause is a `MinidarknetError`, whose message names the file, the place in it, what was
found and what was expected. Anything else that escapes is a bug of ours.
"""

from __future__ import annotations

from os import PathLike, fspath


class MinidarknetError(Exception):
    """Base of all errors that a user can cause; `exit_code` is what the command line returns for it."""

    exit_code = 1


class UsageError(MinidarknetError):
    """The command or the call does not fit together (exit code 2)."""

    exit_code = 2


class InputError(MinidarknetError, ValueError):
    """A file or an array cannot be used (exit code 3)."""

    exit_code = 3


class CfgError(InputError):
    """A cfg file says something impossible; the message begins with `file:line`."""

    def __init__(self, path: str | PathLike[str], line: int | None, message: str) -> None:
        place = fspath(path) if line is None else f"{fspath(path)}:{line}"
        super().__init__(f"{place}: {message}")


class WeightsError(InputError):
    """A `.weights` file does not fit the network."""


class ImageError(InputError):
    """A picture cannot be read."""


class FetchError(InputError):
    """A file could not be downloaded, or is not the file that was expected."""


class CheckpointError(InputError):
    """A checkpoint of training cannot be written, or not be gone on from."""


class NonFiniteError(MinidarknetError):
    """A computation produced NaN or infinity (exit code 4)."""

    exit_code = 4


class CfgWarning(UserWarning):
    """A cfg file can be used, but probably does not mean what its author thinks."""
