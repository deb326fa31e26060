"""A folder that whoever asks may not look into, also where the tests run as root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def shut(folder: Path) -> Iterator[None]:
    """The folder is closed to us as long as the block lasts. Modules that the block needs are imported before it."""
    mode = folder.stat().st_mode & 0o777
    folder.chmod(0)
    as_root = os.geteuid() == 0
    if as_root:
        os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        if as_root:
            os.setresuid(0, 0, 0)
        folder.chmod(mode)
