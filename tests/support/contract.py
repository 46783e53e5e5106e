"""Requests made by the hundred from an OpenAPI document, by Schemathesis."""

import subprocess
import sys
from pathlib import Path

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "allow_header_conformance",
    "unsupported_method", "ignored_auth",
)  # fmt: skip
"""What an answer must hold to, whatever the request was."""


def fuzz(url: str, key: str, folder: Path, *leave_out: str) -> str:
    """Send requests to a server and return what was wrong with the answers; empty if nothing.

    Parameters
    ----------
    url
        Root of the server.
    leave_out
        Operations that are not called, as "DELETE /path": those that take the ground away.
    """
    words: list[str | Path] = [
        Path(sys.executable).parent / "st", "run", f"{url}/openapi.json", "--no-color",
        "--header", f"Authorization: Bearer {key}", "--checks", ",".join(CHECKS),
        "--phases", "examples,coverage,fuzzing", "--max-examples", "8", "--seed", "20261124",
        "--max-time", "30", "--continue-on-failure", "--warnings", "off",
    ]  # fmt: skip
    for operation in leave_out:
        words += ["--exclude-name", operation]
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    return "" if ran.returncode == 0 else ran.stdout + ran.stderr
