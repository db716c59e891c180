"""A certificate authority, and a server's and a client's certificate from it, made by openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificates:
    """Paths of PEM files."""

    ca: Path
    cert: Path
    key: Path
    client_cert: Path
    client_key: Path


def make(folder: Path) -> Certificates:
    """For localhost and 127.0.0.1, valid for a day."""
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    _new(folder, "ca", "-x509", "-days", "1", "-subj", "/CN=test authority")
    for name, extra in (("server", ["-addext", names]), ("client", [])):
        _new(
            folder, name, "-x509", "-days", "1", "-subj", f"/CN={name}", "-CA", folder / "ca.pem",
            "-CAkey", folder / "ca.key", "-addext", "basicConstraints=critical,CA:FALSE", *extra,
        )  # fmt: skip
    files = ("ca.pem", "server.pem", "server.key", "client.pem", "client.key")
    return Certificates(*(folder / name for name in files))


def _new(folder: Path, name: str, *options: str | Path) -> None:
    command = [
        "openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
        "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", *options,
    ]  # fmt: skip
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
