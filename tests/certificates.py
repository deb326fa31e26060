"""Certificates for tests, made with openssl: an authority, and what it signs."""

from __future__ import annotations

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.enroll import keys


class Authority:
    """Signs certificates in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(self._key))
        subject = ("-subj", "/CN=Test authority", "-days", "36500")
        _openssl("req", "-x509", "-new", "-key", str(self._key), "-out", str(self.certificate), *subject)
        (folder / "index").touch()
        (folder / "serial").write_text("01\n")
        (folder / "ca.conf").write_text(
            f"[ca]\ndefault_ca=own\n[own]\ndatabase={folder}/index\nserial={folder}/serial\nnew_certs_dir={folder}\n"
            "default_md=sha256\npolicy=any\nunique_subject=no\nx509_extensions=names\ncopy_extensions=copy\n"
            "[any]\ncommonName=supplied\n[names]\nbasicConstraints=CA:false\n"
        )

    def sign(self, name: str, begins: datetime | None = None, ends: datetime | None = None) -> tuple[Path, Path]:
        """Certificate and key for a name (also an IP address), valid from yesterday for ten years unless said."""
        begins = begins or datetime.now(UTC) - timedelta(days=1)
        ends = ends or datetime.now(UTC) + timedelta(days=3650)
        stem = f"{name}-{ends:%Y%m%d}"
        certificate, key, request = (self.folder / f"{stem}.{end}" for end in ("pem", "key", "csr"))
        kind = "IP" if name.replace(".", "").isdigit() else "DNS"
        _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key))
        extension = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}")
        _openssl("req", "-new", "-key", str(key), "-out", str(request), *extension)
        dates = ("-startdate", f"{begins:%Y%m%d%H%M%SZ}", "-enddate", f"{ends:%Y%m%d%H%M%SZ}")
        own = ("-config", str(self.folder / "ca.conf"), "-cert", str(self.certificate), "-keyfile", str(self._key))
        _openssl("ca", "-batch", "-notext", *own, "-in", str(request), "-out", str(certificate), *dates)
        key.chmod(0o600)
        return certificate, key


def make_key(path: Path) -> None:
    """A key as an agent makes its own."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        keys.make_key(descriptor)
    finally:
        os.close(descriptor)


def _openssl(*arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"openssl {arguments[0]}: {done.stderr}")
