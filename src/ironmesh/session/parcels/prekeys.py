"""Keys that others seal parcels to: renewed every day, destroyed after three.

    if prekeys.renew(now, random):      # new keys, or old ones destroyed:
        save(prekeys.state(now))        # to disk, sealed, and only then
        prekeys.saved()                 # `current` may be published

What was recorded cannot be opened once its prekey is destroyed, not even with the identity key.
Ages count by the monotonic clock while the node runs and by the wall clock while it does not, so a
clock that is set back lengthens no key's life by more than the time that the node was off.
"""

from __future__ import annotations

import struct
from hashlib import sha256
from typing import Final

import msgspec

from ironmesh.crypto import hybrid
from ironmesh.errors import IronMeshError
from ironmesh.types import Instant, Random, Secret

RENEW_AFTER_S: Final = 24 * 3600.0
DESTROY_AFTER_S: Final = 72 * 3600.0
MAX_PREKEYS: Final = 16
"""A node that starts again and again makes no further ones."""

_FORMAT: Final = 1
_HEAD: Final = struct.Struct(">BQB")
_ENTRY: Final = struct.Struct(">IQ32s64s")


class PrekeyStateError(IronMeshError):
    """The saved prekeys are not as they were written."""

    code = "prekeys"


class Prekey(msgspec.Struct, frozen=True):
    """One pair of each kind."""

    number: int
    """Drawn at random: it says nothing of the node's age. Never 0."""
    born: float
    """Monotonic seconds; those of before this run are negative."""
    x25519: bytes
    """Public, 32 bytes."""
    kem: bytes
    """Public, ML-KEM-768, 1,184 bytes."""
    kem_hash: bytes
    """SHA-256 of `kem`."""
    _x25519_pair: hybrid.X25519Pair
    _kem_pair: hybrid.KemPair
    _secrets: Secret
    """X25519 secret and ML-KEM seed, 96 bytes."""

    @classmethod
    def make(cls, number: int, born: float, secrets: bytes) -> Prekey:
        """Return the prekey of 96 secret bytes."""
        x25519 = hybrid.X25519Pair.generate(lambda _: secrets[: hybrid.X25519_BYTES])
        kem = hybrid.KemPair.generate(lambda _: secrets[hybrid.X25519_BYTES :])
        kem_hash = sha256(kem.public).digest()
        return cls(number, born, x25519.public, kem.public, kem_hash, x25519, kem, Secret(secrets))

    def __repr__(self) -> str:
        return f"Prekey({self.number})"

    def agree(self, ephemeral: bytes) -> bytes:
        """Return the X25519 secret (32) shared with who drew `ephemeral`.

        Raises:
            CryptoError: the key has low order.
        """
        return self._x25519_pair.agree(ephemeral)

    def decapsulate(self, ciphertext: bytes) -> bytes:
        """Return the ML-KEM secret (32) of a ciphertext."""
        return self._kem_pair.open(ciphertext)

    def packed(self, now: Instant) -> bytes:
        """Return number, age and secrets, as they are saved."""
        secrets = self._secrets.reveal()
        age_ms = int(max(0.0, now.mono - self.born) * 1000)
        x25519, seed = secrets[: hybrid.X25519_BYTES], secrets[hybrid.X25519_BYTES :]
        return _ENTRY.pack(self.number, age_ms, x25519, seed)


class Prekeys:
    """The prekeys of a node.

    Args:
        kept: those of the runs before, the oldest first.
    """

    def __init__(self, kept: tuple[Prekey, ...] = ()) -> None:
        self._prekeys = {prekey.number: prekey for prekey in kept}
        self._of_this_run: set[int] = set()
        self._saved = kept[-1].number if kept else 0
        self._newest = self._saved
        self._is_started = False
        self._is_unsaved = False

    @classmethod
    def restore(cls, state: Secret, now: Instant) -> Prekeys:
        """Return what `state` was made of.

        Raises:
            PrekeyStateError: not as it was written.
        """
        data = state.reveal()
        if len(data) < _HEAD.size or (len(data) - _HEAD.size) % _ENTRY.size:
            raise PrekeyStateError("the saved prekeys are damaged", "they are made anew")
        form, saved_ms, count = _HEAD.unpack_from(data)
        if form != _FORMAT or len(data) != _HEAD.size + count * _ENTRY.size:
            raise PrekeyStateError("the saved prekeys have another format", "they are made anew")
        off_s = max(0.0, now.wall - saved_ms / 1000)
        kept = []
        for number, age_ms, x25519, seed in _ENTRY.iter_unpack(data[_HEAD.size :]):
            age_s = age_ms / 1000 + off_s
            if age_s < DESTROY_AFTER_S:
                kept.append(Prekey.make(number, now.mono - age_s, x25519 + seed))
        return cls(tuple(kept))

    def state(self, now: Instant) -> Secret:
        """Return all keys as they are to be saved, sealed, where no backup takes them."""
        head = _HEAD.pack(_FORMAT, int(now.wall * 1000), len(self._prekeys))
        return Secret(head + b"".join(prekey.packed(now) for prekey in self._prekeys.values()))

    @property
    def current(self) -> Prekey | None:
        """The newest that is saved, for the node record; None before the first is."""
        return self._prekeys.get(self._saved)

    @property
    def next_renewal(self) -> float:
        """When to call `renew` at the latest, in monotonic seconds."""
        newest = self._prekeys.get(self._newest)
        if newest is None or not self._is_started:
            return float("-inf")
        oldest = next(iter(self._prekeys.values()))
        return min(newest.born + RENEW_AFTER_S, oldest.born + DESTROY_AFTER_S)

    def renew(self, now: Instant, random: Random) -> bool:
        """Destroy what is too old and make what is due; True while the state is to be saved.

        The first call of a run makes keys in any case: what was sealed to them is sealed anew.
        """
        before = len(self._prekeys)
        self._prekeys = {
            number: prekey
            for number, prekey in self._prekeys.items()
            if now.mono - prekey.born < DESTROY_AFTER_S
        }
        self._is_unsaved = self._is_unsaved or len(self._prekeys) != before
        newest = self._prekeys.get(self._newest)
        is_due = newest is None or now.mono - newest.born >= RENEW_AFTER_S
        is_first = not self._is_started and len(self._prekeys) < MAX_PREKEYS
        self._is_started = True
        if is_due or is_first:
            self._add(now, random)
            self._is_unsaved = True
        return self._is_unsaved

    def _add(self, now: Instant, random: Random) -> None:
        number = 0
        while not number or number in self._prekeys:
            number = int.from_bytes(random(4), "big")
        secrets = random(hybrid.X25519_BYTES + hybrid.KEM_SEED_BYTES)
        self._prekeys[number] = Prekey.make(number, now.mono, secrets)
        self._newest = number
        self._of_this_run.add(number)

    def saved(self) -> None:
        """The state that holds the newest keys is on disk: they may be published."""
        self._saved = self._newest
        self._is_unsaved = False

    def find(self, number: int) -> Prekey | None:
        """Return the keys of a number; None = unknown, or destroyed."""
        return self._prekeys.get(number)

    def is_of_this_run(self, number: int) -> bool:
        """Tell whether keys were made since the node started."""
        return number in self._of_this_run
