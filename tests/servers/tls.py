"""The certificates of a server that speaks TLS. Knows no server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Tls:
    """The files of a server that speaks TLS; `ca` signed both the server's certificate and those of clients."""

    ca: Path
    certificate: Path
    key: Path
    #: Whether a client has to show a certificate.
    clients_need_one: bool = False
