"""A passphrase kept in a file."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ironmesh.errors import FileRefusedError, PassphraseError
from ironmesh.files import is_readable_by_others, read_bounded
from ironmesh.types import Secret

MAX_BYTES: Final = 4096

_BYTE_ORDER_MARK: Final = "\ufeff"


@dataclass(frozen=True, slots=True)
class FilePassphrase:
    """What a passphrase file held."""

    passphrase: Secret
    warning: str | None
    """For people: the file can be read by others."""


def read_passphrase_file(path: Path) -> FilePassphrase:
    """Read a passphrase: a regular file, at most 4096 bytes, one line of UTF-8 text.

    White space around it is dropped; its length is the caller's to check.

    Raises:
        PassphraseError: no such file, or no passphrase in it; the text names the fix.
    """
    try:
        data = read_bounded(path, MAX_BYTES)
        is_open_to_others = is_readable_by_others(path)
    except FileNotFoundError as error:
        raise PassphraseError(
            f"there is no passphrase file {path}", "write it, or name another one"
        ) from error
    except FileRefusedError as error:
        raise PassphraseError(
            f"the passphrase file cannot be used, {error.what}",
            f"name a text file of at most {MAX_BYTES} bytes",
        ) from error
    except OSError as error:
        raise PassphraseError(
            f"the passphrase file {path} cannot be read ({error.strerror})", "check its permissions"
        ) from error
    warning = f"{path} can be read by others: run chmod 600 {path}" if is_open_to_others else None
    return FilePassphrase(Secret(_one_line(path, data)), warning)


def _one_line(path: Path, data: bytes) -> str:
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        # Not chained: the codec's error carries the passphrase.
        raise PassphraseError(
            f"the passphrase file {path} is not UTF-8 text", "save it as UTF-8"
        ) from None
    if not text:
        raise PassphraseError(f"the passphrase file {path} is empty", "write the passphrase in it")
    if text.startswith(_BYTE_ORDER_MARK):
        raise PassphraseError(
            f"the passphrase file {path} starts with a byte order mark", "save it as UTF-8 without"
        )
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise PassphraseError(
            f"the passphrase file {path} holds control characters or several lines",
            "write the passphrase in one line of text",
        )
    return text
