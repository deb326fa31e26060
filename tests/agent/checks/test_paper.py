"""A terminal whose paper is tapped beside its protocol counts each payment twice: `tillwatch check` says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.checks import Check, State, paper
from agent.journal import Journal
from tests.agent.checks.checked import configured, said
from tests.agent.lines import TERMS, Play, answer, cashier_ack, request

PRINTER = '[[terminal]]\nname = "{name}"\nprotocol = "receipt"\ndevice = "serial:/dev/nowhere2"\ncashier = "none"\n'


def found(folder: Path, name: str) -> list[Check]:
    return list(paper.checks(configured(folder, more=PRINTER.format(name=name))))


def paid(journal: Journal, terminal: str, trace: str) -> None:
    play = Play(replace(TERMS, terminal=terminal))
    told = answer()
    play.see(request(), replace(told, facts=replace(told.facts, trace=trace)), cashier_ack())
    journal.commit(play.drafts)


@pytest.mark.parametrize("name", ["pos2", "pos10", "printer", "till"])
def test_a_printer_of_another_terminal_is_nothing_to_warn_of(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, name) == []


@pytest.mark.parametrize("name", ["pos1-printer", "pos1_paper", "pos1p"])
def test_a_printer_named_like_a_terminal_is_asked_about(tmp_path: Path, name: str) -> None:
    (check,) = found(tmp_path, name)
    assert (check.state, check.terminal) == (State.WARN, name)
    assert "is this the paper of terminal pos1" in said(check)


def test_a_payment_that_both_recorded_is_proof(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    journal = Journal(tmp_path / "state", "site", "cashier-07")
    paid(journal, "printer", "000007")
    paid(journal, "pos1", "000008")
    assert found(tmp_path, "printer") == [], "two payments of one amount are two payments"
    paid(journal, "pos1", "7")
    (check,) = found(tmp_path, "printer")
    journal.close()
    assert "payment 7 was recorded twice" in said(check)
    assert "pos1" in said(check, "zh-CN")


def test_paper_alone_is_the_way_it_is_meant(tmp_path: Path) -> None:
    config = configured(tmp_path, more=PRINTER.format(name="pos1-printer"))
    assert list(paper.checks(replace(config, terminals=config.terminals[1:]))) == []
