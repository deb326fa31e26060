"""`tillwatch demo`: it comes up by itself, shows payments and yesterday's books, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from collector import demo
from tests.broker import free_port
from tests.waits import until

COMMAND = [sys.executable, "-m", "agent", "demo"]


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


def speaking_of(folder: str) -> list[str]:
    """The command lines of processes that have to do with the folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder in line:
            found.append(line)
    return found


@pytest.mark.xdist_group("dashboard")
@pytest.mark.timeout(240)
def test_the_demo_comes_up_shows_everything_and_ends_cleanly() -> None:
    port = free_port()
    environment = os.environ | {"TILLWATCH_AGENT__LANGUAGE": "en"}
    process = subprocess.Popen(
        [*COMMAND, "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=environment, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        while "Stop with Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, f"ended early: {said} {process.stderr.read() if process.stderr else ''}"
            said += line
        url = f"http://127.0.0.1:{port}/"
        assert f"Dashboard: {url}" in said
        folder = re.search(r"/\S*tillwatch-demo-\w+", said)
        assert folder
        assert speaking_of(folder[0])

        second = subprocess.run([*COMMAND, "--port", str(port)], capture_output=True, text=True, check=False,
                                timeout=60, env=environment)  # fmt: skip
        assert (second.returncode, second.stderr.count("\n")) == (3, 1), second.stderr
        assert str(port) in second.stderr

        approved = f"{url}api/transactions?agent=cashier-04&outcome=approved"
        paid = until(lambda: json.loads(get(approved))["items"], 90, "a payment")
        assert {payment["currency"] for payment in paid} == {"CNY"}
        assert 'class="card doubts' in get(url)
        until(lambda: json.loads(get(f"{url}api/agents"))["items"], 30, "agents")
        until(lambda: "/days/" in get(f"{url}days"), 90, "yesterday's books")
        day = re.search(r'href="(/days/[\d-]+)"', get(f"{url}days"))
        assert day
        assert get(url.rstrip("/") + day[1]).count('<li class="difference') == sum(demo.PLANTED.values())
    finally:
        process.send_signal(signal.SIGINT)
        rest, complaints = process.communicate(timeout=90)
    assert process.returncode == 0, complaints
    assert "Nothing is left running." in rest
    payments = [line for line in (said + rest).splitlines() if " → " in line]
    assert payments, f"each payment is a line: {rest}"
    assert not [line for line in payments if "can't be opened" in line or "demo." in line], "nobody pays too early"
    assert complaints == ""
    assert speaking_of(folder[0]) == []
    assert not Path(folder[0]).exists()
