"""Files that an application and its DLL leave for each other, heard whole, in order, and each time they are written."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.links import watched
from drivers.links.base import DENIED, NOT_FOUND, LinkError
from drivers.links.watched import MOST_BYTES, WatchedLink, open_watched
from tests.waits import until


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "POLL_S", 0.02)


@pytest.fixture
def listen() -> Iterator[Callable[[Path], WatchedLink]]:
    links = []

    def start(path: Path) -> WatchedLink:
        links.append(open_watched(str(path)))
        return links[-1]

    yield start
    for link in links:
        link.close()
        until(lambda link=link: link._far.fileno() < 0, what="it looks no more")  # type: ignore[misc]


Listen = Callable[[Path], WatchedLink]


def heard(link: WatchedLink, seconds: float = 20) -> bytes:
    """The next thing that was said."""
    return os.read(link.fileno(), 1 << 20) if select.select([link.fileno()], [], [], seconds)[0] else b""


def write(path: Path, data: bytes) -> None:
    """Written beside and moved: a file that is never seen half."""
    beside = path.with_name(f"~{path.name}")
    beside.write_bytes(data)
    beside.rename(path)


def test_a_file_is_heard_each_time_it_is_written(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "request.txt"
    write(path, b"of yesterday")
    link = listen(path)
    write(path, b"0100 00000003550")
    assert heard(link) == b"0100 00000003550"
    write(path, b"0100 00000003550")  # the same once more is another payment
    assert heard(link) == b"0100 00000003550"
    path.unlink()
    write(tmp_path / "other.txt", b"not this one")
    write(path, b"02")
    assert heard(link) == b"02"
    assert heard(link, 0.2) == b""


def test_a_name_with_a_star_hears_every_file_that_fits(listen: Listen, tmp_path: Path) -> None:
    link = listen(tmp_path / "RSP*.DAT")
    for number in range(3):
        write(tmp_path / f"RSP{number}.DAT", b"%d" % number)
        write(tmp_path / f"REQ{number}.DAT", b"x")
        assert heard(link) == b"%d" % number


def test_empty_and_huge_files_say_nothing(listen: Listen, tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    link = listen(path)
    write(path, b"")
    write(path, b"x" * (MOST_BYTES + 1))
    until(lambda: link._heard, what="it was seen")
    write(path, b"ok")
    assert heard(link) == b"ok"


def test_what_is_written_to_it_goes_nowhere(listen: Listen, tmp_path: Path) -> None:
    link = listen(tmp_path / "out.txt")
    sent = 0
    while sent < 2_000_000:
        select.select([], [link.fileno()], [], 20)
        sent += os.write(link.fileno(), b"x" * 4096)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_goes_ends_the_link(listen: Listen, tmp_path: Path) -> None:
    folder = tmp_path / "share"
    folder.mkdir()
    link = listen(folder / "out.txt")
    folder.rmdir()
    assert heard(link) == b""
    until(lambda: link.ended, what="says why")
    assert str(folder) in str(link.ended)


def test_what_cant_be_heard(tmp_path: Path) -> None:
    with pytest.raises(LinkError) as missing:
        open_watched(str(tmp_path / "no" / "out.txt"))
    assert missing.value.reason == NOT_FOUND
    (tmp_path / "file").touch()
    with pytest.raises(LinkError) as no_folder:
        open_watched(str(tmp_path / "file" / "out.txt"))
    assert no_folder.value.reason == NOT_FOUND
    if os.geteuid():
        (tmp_path / "closed").mkdir(0o000)
        with pytest.raises(LinkError) as closed:
            open_watched(str(tmp_path / "closed" / "out.txt"))
        assert closed.value.reason == DENIED
