"""Who holds a device open."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from drivers.links.holders import holders

#: opens pseudo terminals of the mounted devpts until it has the one of that name
HOLD = """
import os, sys, termios
held = []
while not held or os.ttyname(held[-1]) != sys.argv[1]:
    held += os.openpty()
print(flush=True)
sys.stdin.read()
"""
MOUNTED = "mount -t devpts -o newinstance,ptmxmode=0666 devpts /dev/pts && mount --bind /dev/pts/ptmx /dev/ptmx && exec"


def _holding(words: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def test_a_process_that_has_it_open_is_named(tmp_path: Path) -> None:
    master, slave = os.openpty()
    link = tmp_path / "terminal"
    link.symlink_to(os.ttyname(slave))
    code = "import os, sys; os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY); print(flush=True); sys.stdin.read()"
    try:
        with _holding([sys.executable, "-c", code, str(link)]) as other:
            assert other.stdout is not None
            other.stdout.readline()
            found = holders(str(link))
            other.communicate()
        assert [holder.pid for holder in found] == [other.pid]
        assert [holder.pid for holder in holders(str(link), own=True)] == [os.getpid()]
    finally:
        os.close(master)
        os.close(slave)


def test_a_pseudo_terminal_of_a_container_is_another_one() -> None:
    master, slave = os.openpty()
    try:
        path = os.ttyname(slave)
        words = ["unshare", "--mount", "sh", "-c", f'{MOUNTED} "$@"', "sh", sys.executable, "-c", HOLD, path]
        with _holding(words) as other:
            assert other.stdout is not None
            begun = other.stdout.readline()
            found = holders(path)
            other.communicate()
    finally:
        os.close(master)
        os.close(slave)
    if not begun:
        pytest.skip("no mount namespace may be made here")
    assert found == []
