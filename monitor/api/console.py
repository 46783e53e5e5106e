"""The console: one page and its files, at the root."""

import hashlib
import mimetypes
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Request, Response

from monitor.api.context import StateOf
from monitor.errors import NotFoundError

router = APIRouter(include_in_schema=False)

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
    )
)
"""Nothing but our own files, no inline script, no form that leaves, no HTML made from text."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    # Asked for each time and answered with 304: a new release is seen at once.
    "Cache-Control": "no-cache",
}
TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8"}


def folder(state: StateOf) -> Path:
    """Where the files lie."""
    if state.settings.console_dir is None:
        raise NotFoundError("page", "/")
    return state.settings.console_dir


Folder = Annotated[Path, Depends(folder)]
Known = Annotated[str | None, Header(alias="if-none-match")]


@router.get("/")
async def page(root: Folder, known: Known = None) -> Response:
    """The one page; which view it shows stands behind the #."""
    return _file(root / "index.html", known)


@router.get("/console/{path:path}")
async def file(request: Request, root: Folder, path: str, known: Known = None) -> Response:
    """A file that the page names."""
    wanted = (root / path).resolve()
    if not wanted.is_relative_to(root.resolve()) or not wanted.is_file():
        raise NotFoundError("page", request.url.path)
    return _file(wanted, known)


def _file(path: Path, known: str | None) -> Response:
    if not path.is_file():
        raise NotFoundError("page", path.name)
    data = path.read_bytes()
    tag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    headers = HEADERS | {"ETag": tag}
    if known is not None and tag in (one.strip().removeprefix("W/") for one in known.split(",")):
        return Response(status_code=304, headers=headers)
    guessed = TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"
    return Response(data, media_type=guessed, headers=headers)
