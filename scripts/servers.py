"""Where the programs of servers are, for tests and benchmarks. Knows nothing of how a server is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from scripts.environments import HOME, ROOT

#: The names of a Redis server, the preferred one first.
REDIS: Final = ("redis-server", "valkey-server")


def find_program(names: tuple[str, ...]) -> str | None:
    """The path of the first of `names` that is here: on the search path, or unpacked by `scripts/install-servers`."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), str(HOME / "servers" / "bin")))
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def install_servers() -> None:
    """Unpack what this machine lacks; what can not be had is told on stderr."""
    subprocess.run([str(ROOT / "scripts" / "install-servers")], check=True)
