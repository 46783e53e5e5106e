"""`/v1/keys`: who may do what."""

from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Path, Response, status
from pydantic import Field

from serving.api.bodies import Body, View
from serving.api.context import AdminContext, Changes
from serving.api.problems import problems
from serving.errors import IdempotencyKeyReusedError, KeyNotFoundError, LastAdminKeyError
from serving.keys import digest, new_secret
from serving.records import Key, Scope
from serving.store import keys

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class KeyRequest(Body):
    """A key to be made."""

    name: str = Field(min_length=1, max_length=100)
    """Stands in the history beside what the key did."""
    scopes: list[Scope] = Field(min_length=1)
    """Some of predict, feedback, read, admin; admin holds all others."""


class KeyView(View):
    """An API key without its secret."""

    id: UUID
    name: str
    scopes: list[Scope]
    created_at: datetime
    revoked_at: datetime | None


class NewKeyView(KeyView):
    """A key that was just made."""

    key: str | None
    """The key itself, shown this once; null where the answer is repeated for an Idempotency-Key."""


class KeysView(View):
    """Every key, the oldest first."""

    keys: list[KeyView]


def _view(key: Key) -> KeyView:
    return KeyView(
        id=key.id,
        name=key.name,
        scopes=sorted(key.scopes),
        created_at=key.created_at,
        revoked_at=key.revoked_at,
    )


@router.get("", summary="List the keys", responses=problems())
async def list_keys(context: AdminContext) -> KeysView:
    """List every key, also the revoked ones; of the keys themselves only hashes are kept."""
    async with context.reading() as connection:
        return KeysView(keys=[_view(key) for key in await keys.every(connection)])


@router.post(
    "",
    status_code=status.HTTP_201_CREATED,
    summary="Make a key",
    responses=problems(IdempotencyKeyReusedError),
)
async def create_key(body: KeyRequest, context: Changes) -> NewKeyView:
    """Make a key. It is shown in this answer and never again."""
    secret = new_secret()
    scopes = sorted(set(body.scopes))
    async with context.change() as change:
        made = await keys.create(
            change.connection, uuid4(), body.name, digest(secret.encode()), scopes
        )
        kept = NewKeyView(**_view(made).model_dump(), key=None)
        # The answer that is kept must not hold the secret.
        change.answer(status.HTTP_201_CREATED, kept.model_dump(mode="json"))
    await context.services.keys.load(context.services.engine)
    return kept.model_copy(update={"key": secret})


@router.delete(
    "/{key_id}",
    status_code=status.HTTP_204_NO_CONTENT,
    summary="Revoke a key",
    responses=problems(KeyNotFoundError, LastAdminKeyError),
    response_class=Response,
)
async def revoke_key(
    key_id: Annotated[UUID, Path(description="Id of the key.")], context: Changes
) -> None:
    """Make a key invalid. Other processes follow within `SERVING_KEY_REFRESH_INTERVAL`."""
    async with context.change() as change:
        valid = await keys.lock(change.connection)
        if key_id not in {key.id for key in await keys.every(change.connection)}:
            raise KeyNotFoundError(str(key_id))
        if {key.id for key in valid if "admin" in key.scopes} == {key_id}:
            raise LastAdminKeyError
        await keys.revoke(change.connection, key_id)
        change.answer(status.HTTP_204_NO_CONTENT)
    await context.services.keys.load(context.services.engine)
