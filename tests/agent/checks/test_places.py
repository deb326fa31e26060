"""Folders, disk and journal."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from agent.checks import State, Who, host, places
from agent.journal import FILE_NAME, Journal
from tests.agent.checks.checked import ME, NOBODY, said
from tests.agent.shut import shut


def test_a_folder_that_can_be_written_is_ok(tmp_path: Path) -> None:
    assert places.folder("state_dir", tmp_path, ME).state is State.OK


def test_a_folder_that_can_be_made_is_ok(tmp_path: Path) -> None:
    check = places.folder("state_dir", tmp_path / "a/b", ME)
    assert (check.state, check.what.key) == (State.OK, "check.folder_later")
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("mode", "who", "state"),
    [
        (0o755, Who("u", 1, frozenset({1})), State.FAIL),
        (0o777, Who("u", 1, frozenset({1})), State.OK),
        (0o770, Who("u", 1, frozenset({os.getgid()})), State.OK),
        (0o757, Who("u", 1, frozenset({os.getgid()})), State.FAIL),  # the group's bits count, not everybody's
        (0o500, Who("u", os.getuid() or 1, frozenset()), State.FAIL),
    ],
)
def test_the_rights_of_the_services_user_count(tmp_path: Path, mode: int, who: Who, state: State) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    folder.chmod(mode)
    check = places.folder("state_dir", folder, who)
    assert check.state is state
    if state is State.FAIL:
        assert f"chown {who.name} {folder}" in said(check)


def test_a_folder_that_nobody_can_make_says_how(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    check = places.folder("run_dir", tmp_path / "run", NOBODY)
    assert check.state is State.WARN
    assert f"install -d -o nobody -m 750 {tmp_path}/run" in said(check)


def test_a_file_in_the_place_of_a_folder_fails(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    assert "is a file" in said(places.folder("state_dir", tmp_path / "state", ME))


@pytest.mark.parametrize(
    ("free", "state", "shown"),
    [
        (5 * places.GIB, State.OK, "5.0 GiB"),
        (places.GIB, State.OK, "1.0 GiB"),
        (places.GIB - 1, State.WARN, "1023 MiB"),
        (64 * places.MIB, State.WARN, "64 MiB"),
        (64 * places.MIB - 1, State.FAIL, "63 MiB"),
        (0, State.FAIL, "0 MiB"),
    ],
)
def test_the_disk_has_room(free: int, state: State, shown: str) -> None:
    check = places.space(Path("/var/lib/tillwatch"), free)
    assert check.state is state
    assert shown in said(check)


def test_a_journal_on_a_disk_that_forgets_is_told(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"none / ext4 rw 0 0\nnone {tmp_path.resolve()} tmpfs rw 0 0\nnone /else xfs rw 0 0\n")
    assert places.file_system(tmp_path / "state", mounts) == "tmpfs"
    assert places.file_system(Path("/"), mounts) == "ext4"
    assert places.free_bytes(tmp_path / "not/yet") > 0


def test_a_sound_journal_is_ok_also_while_the_agent_writes(tmp_path: Path) -> None:
    assert places.journal(tmp_path / FILE_NAME).what.key == "check.journal_none"
    journal = Journal(tmp_path, "site", "agent")
    try:
        assert places.journal(tmp_path / FILE_NAME).what.key == "check.journal_ok"
        assert host.lock_holder(tmp_path / "journal.lock") == os.getpid()
    finally:
        journal.close()
    assert host.lock_holder(tmp_path / "journal.lock") is None
    assert host.lock_holder(tmp_path / "no.lock") is None


def test_folders_that_are_closed_to_us_are_told_not_raised(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    places.journal(folder / FILE_NAME)
    with shut(folder):
        assert places.journal(folder / FILE_NAME).what.key == "check.journal_unreadable"
        assert places.existing(folder / "below" / "it").is_absolute()
        assert places.free_bytes(folder / "below") > 0


@pytest.mark.parametrize("at", [0, 4096 + 8], ids=["head", "page"])
def test_a_damaged_journal_fails(tmp_path: Path, at: int) -> None:
    Journal(tmp_path, "site", "agent").close()
    path = tmp_path / FILE_NAME
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode = DELETE")
    db.close()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xa5" * 600)
    check = places.journal(path)
    assert check.state is State.FAIL
    assert said(check)
