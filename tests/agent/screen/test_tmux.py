"""The screen in a real terminal, at a real bridge, while a payment passes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agent.bench import CARD, bench, pay
from tests.waits import until


@pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")
def test_a_payment_is_seen_as_it_passes(tmp_path: Path) -> None:
    socket = str(tmp_path / "tmux.sock")

    def tmux(*words: str) -> str:
        command = ["tmux", "-S", socket, "-f", "/dev/null", *words]
        return subprocess.run(command, check=False, capture_output=True, text=True).stdout

    with bench(tmp_path) as config:
        command = f"{sys.executable} -m agent diag --watch --config {config}; echo left with $?; cat"
        try:
            tmux(
                "new-session",
                "-d",
                "-x",
                "120",
                "-y",
                "36",
                "-s",
                "screen",
                f"env -u COLUMNS -u LINES LANG=C.UTF-8 {command}",
            )
            until(lambda: "search" in tmux("capture-pane", "-p", "-t", "screen"), 60, "the screen is there")
            pay(tmp_path)
            text = until(
                lambda: t if "purchase 12.34 EUR approved" in (t := tmux("capture-pane", "-p", "-t", "screen")) else "",
                60,
                "the payment is shown",
            )
            assert "cashier  request     ok" in text
            assert CARD not in text
            tmux("send-keys", "-t", "screen", "q")
            until(lambda: "left with 0" in tmux("capture-pane", "-p", "-t", "screen"), 60, "the screen was left")
        finally:
            tmux("kill-server")
