"""The pin file: tamper-evident, shared by several processes, never overwritten when damaged.

    {
      "version": 3,
      "peers": [...],
      "revoked": [...],
      "_mac": "<hex HMAC-SHA256 over all bytes before this line>"
    }

The bytes of a book are fixed: what is read must be, byte for byte, what would be written. The
checksum does not show that somebody put an older copy of the whole file back.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ironmesh import files
from ironmesh.crypto import sodium
from ironmesh.errors import FileRefusedError, TrustFileError
from ironmesh.trust.book import TrustBook
from ironmesh.trust.pins import Pin, Revocation
from ironmesh.types import Secret

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
VERSION: Final = 3

_LABEL: Final = "ironmesh trust file v3"
_COPY_SUFFIX: Final = ".published"
_RACY_S: Final = 0.02
"""Within this time of a change, another one may leave the same marks in the folder."""


class _Content(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    version: int
    peers: tuple[Pin, ...]
    revoked: tuple[Revocation, ...]


class _Sealed(_Content, frozen=True, forbid_unknown_fields=True):
    mac: str = msgspec.field(name="_mac")


class _Peek(msgspec.Struct):
    version: int = 1


class _Marks(NamedTuple):
    """By what a replaced file is told from its predecessor without reading it."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


class TrustFile:
    """The book of pins on disk.

    Args:
        path: the pin file; its folder exists and is private.
        data_key: the node's data key, 32 bytes.
        identity_seed: the node's Ed25519 seed; opens a file of the published package.
    """

    def __init__(self, path: Path, data_key: Secret, identity_seed: Secret | None = None) -> None:
        self.path = path
        self._lock = path.with_name(f"{path.name}.lock")
        self.notices: list[str] = []
        """What the operator should know of the last reading, each one line."""
        self._key = Secret(sodium.derive(data_key.reveal(), _LABEL))
        self._seed = identity_seed
        self._book = TrustBook()
        self._marks: _Marks | None = None
        self._digest = b""
        """Of the bytes that the book was read from, or written as."""
        self._published: bytes | None = None
        """The content of the file, while it is one of the published package."""
        self._is_ours = False
        """We have read or written our own format there; the other may not come back."""

    def read(self) -> TrustBook:
        """Return the book; reads the file only when it changed. A missing file is an empty book.

        Raises:
            TrustFileError: damaged, edited, unreadable, or removed while we use it.
        """
        with self._translated():
            self._refresh()
            return self._book

    def update(self, change: Callable[[TrustBook], TrustBook]) -> TrustBook:
        """Read the book, change it and write it, while no other process does the same.

        Args:
            change: returns the new book, or the same one: then nothing is written. What it raises
                passes through.

        Raises:
            TrustFileError: as for `read`, or it cannot be written.
        """
        with self._locked():
            with self._translated():
                self._refresh()
            changed = change(self._book)
            if changed is not self._book:
                with self._translated():
                    self._write(changed)
            return self._book

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            with self._translated():
                stack.enter_context(files.exclusive(self._lock))
            yield

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except FileRefusedError as error:
            raise TrustFileError(error.what, error.fix) from error
        except OSError as error:
            raise TrustFileError(
                f"the pin file {self.path} cannot be used ({error.strerror or error})",
                "check the folder's owner, mode and free space",
            ) from error

    def _look(self) -> _Marks | None:
        try:
            info = self.path.stat()
        except FileNotFoundError:
            return None
        return _Marks(info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)

    def _refresh(self) -> None:
        """Read the file, unless it is as it was when it was read last."""
        marks = self._look()
        if marks is None or marks != self._marks:
            self._load(marks)

    def _load(self, marks: _Marks | None) -> None:
        if marks is None:
            if self._marks is not None:
                raise TrustFileError(
                    f"the pin file {self.path} was removed while the node runs",
                    "put it back, or restart the node to begin without pins",
                )
            return
        data = files.read_bounded(self.path, MAX_FILE_BYTES)
        digest = sodium.sha256(data)
        if digest != self._digest:  # just written, it may look as it would if it were another one
            self._book = self._parse(data)
            self._digest = digest
        self._remember(marks)

    def _remember(self, marks: _Marks) -> None:
        newest_s = max(marks.modified_ns, marks.changed_ns) / 1e9
        is_settled = newest_s + _RACY_S < time.time()
        self._marks = marks if is_settled else marks._replace(inode=-1)

    def _parse(self, data: bytes) -> TrustBook:
        try:
            version = msgspec.json.decode(data, type=_Peek).version
            if version == VERSION:
                return self._parse_ours(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._damaged(str(error)) from error
        if version > VERSION:
            raise TrustFileError(
                f"the pin file {self.path} was written by a newer version", "upgrade ironmesh"
            )
        return self._parse_published(data)

    def _parse_ours(self, data: bytes) -> TrustBook:
        content = msgspec.json.decode(data, type=_Sealed)
        book = TrustBook(
            {pin.node_id: pin for pin in content.peers},
            {record.node_id: record for record in content.revoked},
        )
        if not sodium.same(data, self._render(book)):
            raise self._damaged("its checksum does not match")
        self._published, self._is_ours = None, True
        return book

    def _parse_published(self, data: bytes) -> TrustBook:
        from ironmesh.trust.published import read_published

        copy = self._copy_path
        if self._is_ours or (copy.exists() and data != files.read_bounded(copy, MAX_FILE_BYTES)):
            raise self._damaged("a file of the published package stands where ours was")
        published = read_published(data, self._seed)
        if self._published != data:
            self.notices.extend(published.notices)
        self._published = data
        return published.book

    def _write(self, book: TrustBook) -> None:
        data = self._render(book)
        if len(data) > MAX_FILE_BYTES:
            raise TrustFileError("the pin file is full", "forget some peers")
        if self._published is not None:
            self._keep_copy(self._published)
        files.write_private(self.path, data)
        self._book, self._published, self._is_ours = book, None, True
        self._digest = sodium.sha256(data)
        marks = self._look()
        if marks is not None:
            self._remember(marks)

    def _keep_copy(self, data: bytes) -> None:
        copy = self._copy_path
        if not copy.exists():
            files.create_private(copy, data)
        self.notices.append(f"{self.path} is in our format now; as it was, it is kept as {copy}")

    @property
    def _copy_path(self) -> Path:
        return self.path.with_name(self.path.name + _COPY_SUFFIX)

    def _render(self, book: TrustBook) -> bytes:
        content = _Content(
            VERSION,
            tuple(pin for _, pin in sorted(book.pins.items())),
            tuple(record for _, record in sorted(book.revoked.items())),
        )
        body = msgspec.json.format(msgspec.json.encode(content), indent=1).removesuffix(b"\n}")
        mac = sodium.hmac_sha256(self._key.reveal(), body).hex().encode()
        return body + b',\n "_mac": "' + mac + b'"\n}\n'

    def _damaged(self, why: str) -> TrustFileError:
        return TrustFileError(
            f"the pin file {self.path} was edited or is damaged ({why}), so nobody is trusted",
            "restore it from a backup, or move it away to begin without pins",
        )
