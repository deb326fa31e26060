"""`tillwatch collector token`: printed once, listed without secrets, revoked; bad usage in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.cli import main
from collector.access.access import Access
from collector.ledger import Ledger


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return f"sqlite:///{tmp_path}/ledger.sqlite"


def token(url: str, *words: str) -> int:
    return main(["collector", "token", "--database", url, *words])


def test_a_token_is_printed_alone_and_opens_the_door(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert token(url, "--role", "operations", "--name", "erp", "--valid", "90d") == 0
    out, err = capsys.readouterr()
    secret = out.strip()
    assert out == f"{secret}\n"
    assert secret not in err
    ledger = Ledger.open(url)
    try:
        user = Access(ledger, ledger.clock).user_of_token(secret, address="-")
        assert user is not None
        assert (user.name, user.role) == ("erp", "operations")
    finally:
        ledger.close()
    assert token(url, "--list") == 0
    listed = capsys.readouterr().out
    assert "erp" in listed
    assert secret not in listed
    assert token(url, "--list", "--json") == 0
    (found,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert (found["name"], found["role"], found["revoked_at"]) == ("erp", "operations", None)
    assert token(url, "--revoke", found["id"]) == 0
    assert token(url, "--revoke", "erp") == 1
    assert capsys.readouterr().err.count("\n") == 2


def test_json_tells_the_token_with_its_id(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert token(url, "--role", "viewer", "--name", "wall", "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["token"].startswith("tw_")
    assert made["expires_at"] is None


@pytest.mark.parametrize(
    "words",
    [
        (), ("--role", "viewer"), ("--name", "x"), ("--role", "root", "--name", "x"),
        ("--role", "viewer", "--name", ""), ("--role", "viewer", "--name", "x", "--valid", "soon"),
    ],
)  # fmt: skip
def test_bad_usage_is_one_line_and_exit_code_2(
    url: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert token(url, *words) == 2
    said = capsys.readouterr().err
    assert said.startswith("tillwatch: ")
    assert said.count("\n") == 1
