"""What pages show as typed and printed is what is printed; what operations type at a broker brings what it should.

drivers.md has a test of its own: tests/drivers/profiles/test_tutorial.py.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.docs.written import ROOT, Block, blocks
from tests.waits import until

ELSEWHERE = "docs/drivers.md"
SHOWN = [block for block in blocks("console") if not block.where.startswith(ELSEWHERE)]
SUBSCRIBED = [
    line
    for block in blocks("")
    if block.where.startswith("docs/operations.md")
    for line in block.text.replace("\\\n", " ").splitlines()
    if line.startswith("mosquitto_sub ")
]


def _files(page: str, folder: Path) -> None:
    """The files that the page shows with their names."""
    for block in blocks():
        if block.where.partition(":")[0] == page and block.title:
            (folder / block.title).write_text(block.text, encoding="utf-8")


def _typed(text: str) -> Iterator[tuple[str, str]]:
    """(command, what it prints) of a console block."""
    for part in re.split(r"(?m)^\$ ", text)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


@pytest.mark.parametrize("block", SHOWN, ids=[block.where for block in SHOWN])
def test_a_command_prints_what_the_page_shows(block: Block, tmp_path: Path) -> None:
    _files(block.where.partition(":")[0], tmp_path)
    environment = os.environ | {"LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    for command, printed in _typed(block.text):
        words = shlex.split(command)
        assert words.pop(0) == "tillwatch"
        run = [sys.executable, "-m", "agent", *words]
        done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.stdout + done.stderr).rstrip() == printed.rstrip()


def _here(line: str, broker: Broker) -> list[str]:
    """The words of the line for a broker without certificates, as the page says: without --ca…, --cert, --key."""
    words = shlex.split(line.partition(" #")[0])
    for option in ("-h", "-p", "--cafile", "--cert", "--key"):
        if option in words:
            at = words.index(option)
            del words[at : at + 2]
    return [words[0], "-h", broker.host, "-p", str(broker.port), *words[1:]]


def test_what_operations_subscribe_to_brings_what_is_published(tmp_path: Path) -> None:
    assert len(SUBSCRIBED) == 3
    mine = "tillwatch/1/outpatient-1/cashier-07"
    sent = {f"{mine}/state": "there", f"{mine}/events/transaction.pending": "doubt", f"{mine}/metrics": "figures"}
    wanted = [
        f"{mine}/events/transaction.pending doubt",
        "doubt",
        f"{mine}/state there",
    ]
    with Broker(tmp_path / "broker") as broker:
        logs = [tmp_path / f"heard{number}" for number in range(len(SUBSCRIBED))]
        listening = []
        try:
            for line, log in zip(SUBSCRIBED, logs, strict=True):
                with log.open("wb") as out:
                    listening.append(subprocess.Popen(_here(line, broker), stdout=out))

            def all_heard() -> bool:
                for topic, payload in sent.items():
                    words = ["mosquitto_pub", "-h", broker.host, "-p", str(broker.port), "-t", topic, "-m", payload]
                    subprocess.run(words, check=True)
                return all(log.stat().st_size for log in logs)

            until(all_heard, 30, "every subscriber has heard something")
        finally:
            for process in listening:
                process.terminate()
                process.wait()
    assert [set(log.read_text(encoding="utf-8").splitlines()) for log in logs] == [{line} for line in wanted]
