"""The package `keyring`, as far as the command line uses it, with a keychain of its own."""

from __future__ import annotations

import sys
from types import ModuleType


class KeyringError(Exception):
    pass


class Backend:
    """One keychain; `module` says whose it claims to be."""

    def __init__(self, module: str = "keyring.backends.SecretService") -> None:
        self.__class__ = type("Keyring", (Backend,), {"__module__": module})
        self.name = f"{module} Keyring"
        self.entries: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def _check(self) -> None:
        if self.is_locked:
            raise KeyringError("locked, and the passphrase was hunter2hunter2")

    def get_password(self, service: str, name: str) -> str | None:
        self._check()
        return self.entries.get((service, name))

    def set_password(self, service: str, name: str, passphrase: str) -> None:
        self._check()
        self.entries[service, name] = passphrase

    def delete_password(self, service: str, name: str) -> None:
        self._check()
        del self.entries[service, name]


class Chain(Backend):
    """Several keychains behind one."""

    def __init__(self, *backends: Backend) -> None:
        super().__init__("keyring.backends.chainer")
        self.backends = list(backends)


def install(monkeypatch, backend: Backend) -> Backend:
    """Let `import keyring` find `backend`."""
    keyring, errors = ModuleType("keyring"), ModuleType("keyring.errors")
    keyring.get_keyring = lambda: backend
    errors.KeyringError = KeyringError
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    return backend
