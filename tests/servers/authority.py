"""A certificate authority for one test run, made with the program `openssl`."""

from __future__ import annotations

import subprocess
from pathlib import Path

from .programs import need_program
from .tls import Tls


def make_certificates(folder: Path, *, clients_need_one: bool = False) -> Tls:
    """An authority and one certificate for 127.0.0.1 and localhost that both sides may show."""
    openssl = need_program(("openssl",))

    def run(*words: str) -> None:
        subprocess.run([openssl, *words], cwd=folder, check=True, capture_output=True, timeout=30)

    folder.mkdir(exist_ok=True)
    new_key = ("-newkey", "rsa:2048", "-nodes", "-sha256")
    run("req", "-x509", *new_key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test authority")
    run("req", *new_key, "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=localhost")
    (folder / "names.cnf").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names.cnf", "-days", "2")
    run("x509", "-req", "-in", "request.pem", "-out", "certificate.pem", "-sha256", *signing)
    return Tls(folder / "ca.pem", folder / "certificate.pem", folder / "key.pem", clients_need_one)
