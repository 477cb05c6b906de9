"""Where the programs of servers are, for tests and benchmarks. Knows nothing of how a server is run."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from scripts.environments import HOME, ROOT

#: The names of a Redis server, the preferred one first.
REDIS: Final = ("redis-server", "valkey-server")
#: RabbitMQ, the program that administers it, and Erlang's name server.
RABBITMQ: Final = ("rabbitmq-server",)
RABBITMQ_CONTROL: Final = ("rabbitmqctl",)
EPMD: Final = ("epmd",)

_UNPACKED: Final = {*REDIS, *RABBITMQ, *RABBITMQ_CONTROL, *EPMD}
#: Debian and others keep RabbitMQ's programs here; those on the search path there are for root, and become another
#: user first.
_RABBITMQ_HOME: Final = "/usr/lib/rabbitmq/bin"


def find_program(names: tuple[str, ...]) -> str | None:
    """The path of the first of `names` that is here: on the search path, or unpacked by `scripts/install-servers`.

    With the environment variable `CELERIAC_UNPACKED_SERVERS` set, of a server only what was unpacked counts.
    """
    places = [str(HOME / "servers" / "bin")]
    only_unpacked = os.environ.get("CELERIAC_UNPACKED_SERVERS", "0") not in {"", "0"}
    if not (only_unpacked and _UNPACKED.issuperset(names)):
        places = [_RABBITMQ_HOME, os.environ.get("PATH", os.defpath), *places]
    path = os.pathsep.join(places)
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


def install_servers() -> None:
    """Unpack what this machine lacks; what can not be had is told on stderr."""
    subprocess.run([str(ROOT / "scripts" / "install-servers")], check=True)
