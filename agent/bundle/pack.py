"""Makes the file: a manifest with the digest of every part, and a ZIP that is there whole or not at all."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from agent import __version__
from agent.bundle.part import Missing, Part
from agent.errors import UnreachableError, UsageError

MANIFEST = "manifest.json"
FORMAT = 1


def manifest(parts: Sequence[Part], missing: Sequence[Missing], made: str, who: dict[str, str]) -> Part:
    """What is in the bundle, and what is not and why. `made`: when; `who`: agent and site."""
    return Part.of_json(
        MANIFEST,
        {
            "format": FORMAT,
            "tillwatch": __version__,
            "made": made,
            **who,
            "files": [
                {"name": part.name, "bytes": len(part.data), "sha256": hashlib.sha256(part.data).hexdigest()}
                for part in parts
            ],
            "missing": [{"name": each.name, "reason": each.reason} for each in missing],
        },
    )


def zipped(parts: Sequence[Part], manifest_part: Part) -> bytes:
    """The file's bytes. The time of its members is that of no clock: the manifest tells when."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in (manifest_part, *parts):
            entry = zipfile.ZipInfo(part.name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            archive.writestr(entry, part.data)
    return stream.getvalue()


def save(path: Path, data: bytes) -> None:
    """Write a new file, for its owner only. Raises UsageError when it is there, UnreachableError when it can't be."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.link(beside, path)  # unlike a rename, it never takes another file's place
        finally:
            with suppress(OSError):
                os.unlink(beside)
    except FileExistsError as error:
        raise UsageError("bundle.exists", path=path) from error
    except OSError as error:
        raise UnreachableError("bundle.unwritable", path=path, detail=error.strerror or error) from error
