"""Where the servers' programs are, and what happens to a test when they are nowhere. Knows nothing of any server."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

import pytest

_ROOT: Final = Path(__file__).resolve().parents[2]
#: What `scripts/install-servers` has unpacked.
_UNPACKED: Final = _ROOT / ".venvs" / "servers" / "bin"


def find_program(*names: str) -> str | None:
    """The path of the first of `names` that this machine or the repository's own folder has."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), str(_UNPACKED)))
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def need_program(*names: str) -> str:
    """`find_program`; without it the test is skipped, or fails when `CELERIAC_REQUIRE_SERVERS` is set."""
    found = find_program(*names)
    if found is not None:
        return found
    missing = f"no {names[0]} here: install it, or run scripts/install-servers"
    if os.environ.get("CELERIAC_REQUIRE_SERVERS", "0") not in {"", "0"}:
        pytest.fail(f"{missing} (CELERIAC_REQUIRE_SERVERS is set)", pytrace=False)
    pytest.skip(missing)
