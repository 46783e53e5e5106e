"""API keys: made, kept in memory as hashes, checked on every request."""

import hashlib
import logging
import secrets
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncEngine

from serving.errors import ScopeMissingError, StartingError, UnauthenticatedError
from serving.records import Key, Scope
from serving.store import keys as store

PREFIX = "lsm_"
"""What every key begins with, so that a scanner for leaked secrets can know one."""

log = logging.getLogger("serving.keys")


def new_secret() -> str:
    """A key with 256 random bits, as it travels."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(secret: bytes) -> bytes:
    """What is kept of a key. Its 256 bits are random, so a plain hash cannot be searched."""
    return hashlib.sha256(secret).digest()


class KeyRing:
    """The valid keys, by hash. Checked without a look at the database."""

    def __init__(self) -> None:
        self._keys: dict[bytes, Key] | None = None
        """None before the first load: then nobody can be told that a key is wrong."""

    def check(self, authorization: bytes | None, scope: Scope) -> Key:
        """Find the key of a request.

        Parameters
        ----------
        authorization
            Value of the header `Authorization`; none if it did not come.
        scope
            What the request needs.

        Raises
        ------
        UnauthenticatedError
            If no valid key came.
        ScopeMissingError
            If the key may not do this.
        StartingError
            If the keys are not read yet.
        """
        if not authorization:
            raise UnauthenticatedError("no key")
        kind, _, secret = authorization.partition(b" ")
        if kind.lower() != b"bearer":
            raise UnauthenticatedError("another kind of authorization")
        if self._keys is None:
            raise StartingError
        key = self._keys.get(digest(secret.strip()))
        if key is None:
            raise UnauthenticatedError("a key that is unknown or revoked")
        if not key.may(scope):
            raise ScopeMissingError(key.name, scope, sorted(key.scopes))
        return key

    def replace(self, keys: list[Key]) -> None:
        """Take the keys that are not revoked in place of those known before."""
        self._keys = {key.hash: key for key in keys if key.revoked_at is None}

    def known(self) -> list[Key]:
        """Every key that is valid, as far as this process knows."""
        return list((self._keys or {}).values())

    async def load(self, engine: AsyncEngine) -> bool:
        """Read the keys from the database; True if they are others than before."""
        before = self._keys
        async with engine.connect() as connection:
            self.replace(await store.every(connection))
        return self._keys != before


async def ensure_admin(engine: AsyncEngine, secret: str) -> None:
    """Keep the operator's own admin key, as settings give it."""
    async with engine.begin() as connection:
        await store.ensure(connection, uuid4(), "operator", digest(secret.encode()), ["admin"])
