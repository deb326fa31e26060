"""Key and certificate request, made by the `openssl` program: every Debian has it, and the agent needs no library more.

Works with OpenSSL 1.1.1 and 3. The private key never passes through this process and never leaves the machine.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from agent.enroll.errors import DoorError, EnrolError

_PATIENCE_S = 30.0
_CONFIG = "[req]\ndistinguished_name = dn\n[dn]\n"  # whatever /etc/ssl/openssl.cnf of this PC says


def make_key(descriptor: int) -> None:
    """Write an EC P-256 key into an open file, durably. Raises EnrolError, or DoorError without openssl."""
    words = ("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", f"/dev/fd/{descriptor}")
    _openssl(*words, keep_open=(descriptor,))
    os.fsync(descriptor)


def request(key: Path, agent: str) -> str:
    """A certificate request (PKCS #10, PEM) of that key: by its signature it proves that we hold the key."""
    words = ("req", "-new", "-sha256", "-batch", "-config", "/dev/stdin", "-key", str(key), "-subj", f"/CN={agent}")
    return _openssl(*words, said=_CONFIG)


def fits(certificate: Path, key: Path) -> bool:
    """Whether the certificate is of that key."""
    try:
        of_certificate = _openssl("x509", "-in", str(certificate), "-noout", "-pubkey")
        return of_certificate == _openssl("pkey", "-in", str(key), "-pubout")
    except EnrolError:
        return False


def _openssl(*words: str, said: str = "", keep_open: tuple[int, ...] = ()) -> str:
    try:
        done = subprocess.run(
            ["openssl", *words],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=_PATIENCE_S,
            input=said,
            pass_fds=keep_open,
        )
    except FileNotFoundError:
        raise DoorError("enroll.no_openssl") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnrolError("enroll.openssl_failed", what=words[0], reason=error) from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["-"])[-1]
        raise EnrolError("enroll.openssl_failed", what=words[0], reason=said)
    return done.stdout
