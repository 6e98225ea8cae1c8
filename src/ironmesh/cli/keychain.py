"""Passphrases in the keychain of the operating system."""

from __future__ import annotations

import importlib
from typing import Any, Final

from ironmesh.errors import PassphraseError
from ironmesh.types import Secret

SERVICE: Final = "ironmesh"
"""Under this service name, one entry for each node name."""

_SAFE_BACKENDS: Final = (
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
)


class Keychain:
    """The keychain of this user; make it with `open_keychain`."""

    def __init__(self, backend: Any, errors: type[Exception]) -> None:
        self._backend = backend
        self._errors = errors

    @property
    def description(self) -> str:
        """Which keychain it is, for people."""
        return str(self._backend.name)

    def load(self, name: str) -> Secret | None:
        """Return the passphrase of a node; None if there is none.

        Raises:
            PassphraseError: the keychain refused.
        """
        try:
            found = self._backend.get_password(SERVICE, name)
        except self._errors as error:
            raise _refused(error) from None
        return None if found is None else Secret(found)

    def store(self, name: str, passphrase: Secret) -> None:
        """Keep the passphrase of a node, in place of an older one.

        Raises:
            PassphraseError: the keychain refused.
        """
        try:
            self._backend.set_password(SERVICE, name, passphrase.reveal().decode())
        except self._errors as error:
            raise _refused(error) from None

    def clear(self, name: str) -> bool:
        """Remove the passphrase of a node; False if there was none.

        Raises:
            PassphraseError: the keychain refused.
        """
        if self.load(name) is None:
            return False
        try:
            self._backend.delete_password(SERVICE, name)
        except self._errors as error:
            raise _refused(error) from None
        return True


def open_keychain() -> Keychain:
    """Return the keychain of this user.

    Only keychains that the system itself protects are used: a plain file behind the same
    interface is refused.

    Raises:
        PassphraseError: the extra is not installed, or there is no such keychain here.
    """
    try:
        keyring = importlib.import_module("keyring")
        errors = importlib.import_module("keyring.errors").KeyringError
    except ImportError as error:
        raise PassphraseError(
            "the keychain needs the package keyring", "install the extra `keychain`"
        ) from error
    backend = keyring.get_keyring()
    for candidate in getattr(backend, "backends", [backend]):
        if type(candidate).__module__ in _SAFE_BACKENDS:
            return Keychain(candidate, errors)
    raise PassphraseError(
        "this system offers no keychain that keeps passphrases safely",
        "use --passphrase-file, with a file that only you can read",
    )


def _refused(error: Exception) -> PassphraseError:
    # Only the kind of error is told: a backend may put anything into its text.
    return PassphraseError(
        f"the keychain refused ({type(error).__name__})", "unlock it, or use --passphrase-file"
    )
