"""What the service manager is told, and what happens when it does not listen."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from agent.notify import notify


def test_outside_a_service_manager_nobody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert notify("READY=1")


def test_a_word_and_a_descriptor_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        assert notify("FDSTORE=1", manager.fileno())
        data, descriptors, _, _ = socket.recv_fds(manager, 100, 1)
        assert (data, len(descriptors)) == (b"FDSTORE=1", 1)
        os.close(descriptors[0])


def test_a_manager_that_does_not_listen_holds_nobody_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue is full: the word is lost, and said to be."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        told = 0
        while notify("WATCHDOG=1"):
            told += 1
        assert told > 0
    assert not notify("WATCHDOG=1"), "it has gone"
