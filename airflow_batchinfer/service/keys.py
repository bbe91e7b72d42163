"""Who may ask: two keys, of which only digests are kept, compared in constant time.

Two, so that one can be changed while callers use the other. A key is never shown, logged or put into an error.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from airflow_batchinfer.errors import ConfigError
from airflow_batchinfer.service.config import key_fault

MOST_KEYS = 2
_SCHEME = b"bearer "
LOOK_AGAIN_SECONDS = 1.0


class Keys:
    """The keys that are good now."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = tuple(_digest(key.encode()) for key in keys)

    def accept(self, authorization: bytes | None) -> bool:
        """Whether a request's Authorization header holds a good one. All are compared, so that the time says nothing."""
        if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
            return False
        given = _digest(authorization[len(_SCHEME) :].strip())
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(given, digest)
        return found


class KeyFile:
    """The keys of a file, one or two lines. What is written there counts within a second; what makes no sense changes nothing."""

    def __init__(self, path: str) -> None:
        self._path = Path(path)
        self._version: tuple[int, ...] = ()
        self._looked_at = float("-inf")
        self._keys = Keys(())
        self.read()

    def read(self) -> None:
        """Read it, and raise if it holds no keys."""
        try:
            version = self._version_now()
            lines = self._path.read_text("utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the key file {self._path} cannot be read: {error}") from error
        keys = [line.strip() for line in lines if line.strip()]
        faults = [f"the key file {self._path}, key {number}: {fault}" for number, key in enumerate(keys, 1) if (fault := key_fault(key))]
        if not 0 < len(keys) <= MOST_KEYS:
            faults.append(f"the key file {self._path} holds {len(keys)} keys: give one or two, each on a line")
        if faults:
            raise ConfigError(faults)
        self._keys, self._version = Keys(keys), version

    def at(self, now: float) -> Keys:
        """The keys that are good now; a file that is gone or makes no sense leaves the last good ones."""
        if now - self._looked_at >= LOOK_AGAIN_SECONDS:
            self._looked_at = now
            try:
                if self._version_now() != self._version:
                    self.read()
            except (OSError, ConfigError):
                pass
        return self._keys

    def _version_now(self) -> tuple[int, ...]:
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino


def make_key_file(folder: Path) -> str:
    """A file with a new key, that only its owner may read."""
    path = folder / "key"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32) + "\n")
    return str(path)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
