"""Whose key this is: a page shows it, and offers only what it may do."""

from fastapi import APIRouter
from pydantic import BaseModel

from monitor.api.context import Reader
from monitor.api.problems import PROBLEMS

router = APIRouter(prefix="/v1", tags=["caller"], responses=PROBLEMS)


class CallerAnswer(BaseModel):
    """The key that came with the request."""

    name: str
    scopes: list[str]


@router.get("/caller", summary="Whose key this is")
async def show_caller(caller: Reader) -> CallerAnswer:
    """Name and scopes of the key that came with the request."""
    return CallerAnswer(name=caller.name, scopes=list(caller.scopes))
