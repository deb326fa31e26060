"""Virtual ports: who may open them. What passes through them is tested in tests/agent/bridge."""

from __future__ import annotations

import grp
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.links.pty import PtyPort

UNKNOWN = "no-such-group-of-cashiers"


@pytest.fixture(name="group")
def some_group() -> grp.struct_group:
    """A group that we may give a file to, and that is not the one a pty has by itself."""
    usual = grp.getgrnam("tty").gr_gid
    ours = [group for group in grp.getgrall() if os.geteuid() == 0 or group.gr_gid in os.getgroups()]
    return next(group for group in ours if group.gr_gid not in (0, usual))


@pytest.fixture(name="link")
def link_of_port(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "pos1"
    yield str(path)
    assert not path.is_symlink()


def test_a_group_may_open_the_port(link: str, group: grp.struct_group) -> None:
    port = PtyPort(link, group=group.gr_name)
    found = os.stat(link)
    assert (found.st_gid, found.st_mode & 0o777) == (group.gr_gid, 0o660)
    assert port.group_refused is None
    port.close()


def test_a_port_handed_on_is_given_to_the_group_of_today(link: str, group: grp.struct_group) -> None:
    first = PtyPort(link)
    before = os.stat(link).st_gid
    second = PtyPort(link, kept=os.dup(first.fileno()), group=group.gr_name)
    assert before != os.stat(link).st_gid == group.gr_gid
    second.close()
    os.close(first.fileno())


def test_a_group_that_does_not_exist_leaves_the_port_as_it_was(link: str) -> None:
    port = PtyPort(link, group=UNKNOWN)
    assert port.group_refused is not None
    assert UNKNOWN in port.group_refused
    assert os.stat(link).st_mode & 0o777 == 0o660
    port.close()
