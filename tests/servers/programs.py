"""What happens to a test whose server is not to be had. Knows nothing of any server."""

from __future__ import annotations

import os

import pytest
from scripts.servers import find_program


def need_program(names: tuple[str, ...]) -> str:
    """The path of the first of `names` that is here; without one the test is skipped.

    It fails instead when the environment variable `CELERIAC_REQUIRE_SERVERS` is set.
    """
    found = find_program(names)
    if found is not None:
        return found
    missing = f"no {names[0]} here: install it, or run scripts/install-servers"
    if os.environ.get("CELERIAC_REQUIRE_SERVERS", "0") not in {"", "0"}:
        pytest.fail(f"{missing} (CELERIAC_REQUIRE_SERVERS is set)", pytrace=False)
    pytest.skip(missing)
