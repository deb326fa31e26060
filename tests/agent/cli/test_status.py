"""`tillwatch status` in words: what is well, what is not, in the language of the people."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.cli import main, status

CONFIG = """
[agent]
id = "cashier-07"
language = "{language}"
state_dir = "{folder}"
run_dir = "{folder}"

[[terminal]]
name = "pos1"
protocol = "concert"
device = "serial:/dev/x"

[[terminal]]
name = "pos2"
protocol = "receipt"
device = "serial:/dev/y"
cashier = "none"
"""
AGENT: dict[str, Any] = {
    "agent": "cashier-07",
    "since": "2026-03-05T09:30:00.000+00:00",
    "version": "0.1.0",
    "sequence": 35,
    "outbox": 2,
    "pending": 1,
    "broker": "unreachable",
    "terminals": {
        "pos1": {"link": "degraded", "protocol": "concert", "last_frame_at": "2026-03-05T09:31:00.000+00:00"}
    },
}
BRIDGE: dict[str, Any] = {
    "pid": 7,
    "since": "2026-03-05T09:30:00+0000",
    "lines": {
        "pos1": {"link": "up", "device": "serial:/dev/x", "port": "open", "cashier": "pty:/run/tillwatch/pos1"},
        "pos2": {"link": "down", "device": "serial:/dev/y", "port": "none", "cashier": "none", "reason": "gone"},
    },
}
ENGLISH = """\
agent cashier-07: running since 2026-03-05 09:30:00, version 0.1.0; events 35, waiting to be sent 2, in doubt 1; \
broker NOT REACHED
bridge: running since 2026-03-05 09:30:00, pid 7
pos1: DEGRADED (concert, serial:/dev/x); cashier port pty:/run/tillwatch/pos1 in use; last heard 2026-03-05 09:31:00
pos2: DOWN (receipt, serial:/dev/y); the device went away \n"""
CHINESE = """\
代理 cashier-07：自 2026-03-05 09:30:00 起运行，版本 0.1.0；事件 35，待发送 2，结果不明 1；消息服务器 连接不上
桥接：自 2026-03-05 09:30:00 起运行，进程号 7
pos1：不稳（concert，serial:/dev/x）；收银端口 pty:/run/tillwatch/pos1 使用中；最近收到 2026-03-05 09:31:00
pos2：断开（receipt，serial:/dev/y）；设备已断开 \n"""


@pytest.fixture
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_utc")
@pytest.mark.parametrize(("language", "expected"), [("en", ENGLISH), ("zh-CN", CHINESE)])
def test_all_that_runs(
    language: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "agent.toml"
    config.write_text(CONFIG.format(language=language, folder=tmp_path))
    monkeypatch.setattr(status, "ask", lambda *_: AGENT)
    monkeypatch.setattr(status, "bridge_status", lambda *_: BRIDGE)
    assert main(["status", "--config", str(config)]) == 1, "a line is down"
    assert capsys.readouterr().out == expected
