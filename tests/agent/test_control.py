"""The agent's local socket: whatever a client says, the agent goes on."""

from __future__ import annotations

import json
import selectors
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.control import SOCKET_NAME, ControlServer, ask
from agent.errors import UnreachableError


@pytest.fixture
def run_dir(tmp_path: Path) -> Iterator[Path]:
    """The folder of a socket that is served by a loop of its own."""
    selector, stopping = selectors.DefaultSelector(), threading.Event()
    server = ControlServer(tmp_path / "run", selector, {"echo": lambda asked: {"said": asked["word"]}})

    def serve() -> None:
        while not stopping.is_set():
            for key, _ in selector.select(0.05):
                key.data()

    loop = threading.Thread(target=serve)
    loop.start()
    yield tmp_path / "run"
    stopping.set()
    loop.join()
    server.close()
    selector.close()


def test_an_answer_for_each_line(run_dir: Path) -> None:
    assert ask(run_dir, "echo", word="你好") == {"said": "你好"}
    assert "unknown op" in ask(run_dir, "pay")["error"]


@pytest.mark.parametrize("line", [b"[" * 4000, b"\xff\xfe", b"7", b"null", b'{"op": ["echo"]}', b""])
def test_what_is_no_question_gets_an_error_and_harms_nobody(run_dir: Path, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(str(run_dir / SOCKET_NAME))
        client.sendall(line + b"\n")
        with client.makefile("rb") as lines:
            assert "error" in json.loads(lines.readline())
    assert ask(run_dir, "echo", word="still here") == {"said": "still here"}


def test_a_line_without_end_is_cut_off(run_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(10)
        client.connect(str(run_dir / SOCKET_NAME))
        client.sendall(b"x" * 5000)
        assert client.recv(1) == b""
    assert ask(run_dir, "echo", word="still here") == {"said": "still here"}


def test_nobody_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError):
        ask(tmp_path, "echo")
