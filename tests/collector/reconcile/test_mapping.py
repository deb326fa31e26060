"""Descriptions of formats: all shipped ones load; a mistake is told with file, line, key, and what is accepted."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from agent.texts import Texts as AgentTexts
from collector.ledger.entries import Side
from collector.reconcile.errors import MappingError
from collector.reconcile.mapping import known, load, load_file

SHIPPED = ("alipay", "allinpay", "his-generic", "icbc-his", "leshua", "unionpay-generic", "wechat")


def test_the_shipped_formats_are_whole() -> None:
    assert tuple(known()) == SHIPPED
    for name in SHIPPED:
        format_ = load(name)
        assert format_.side in (Side.HIS, Side.ACQUIRER)
        assert format_.title.keys() == {"en", "zh-CN"}
        assert format_.source
        assert format_.basis in ("published", "assumed")


def test_an_evening_cut_over_begins_the_day_before() -> None:
    assert load("allinpay").cutover == timedelta(hours=-1)
    assert load("his-generic").cutover == timedelta(0)


def test_the_sites_own_description_has_the_last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLWATCH_RECONCILE", str(tmp_path))
    (tmp_path / "allinpay.toml").write_text('side = "acquirer"\n[columns]\namount = "金额"\n', encoding="utf-8")
    assert load("allinpay").columns == {"amount": ("金额",)}
    assert "allinpay" in known()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('side = "bank"\n[columns]\namount = "x"\n', r":1: side: found bank; accepted: his, acquirer"),
        ('side = "his"\n', r"columns\.amount is missing"),
        ('side = "his"\n[columns]\namonut = "x"\n', r":3: unknown key columns\.amonut\. Did you mean amount\?"),
        ('side = "his"\n[columns]\namount = 3\n', r":3: columns\.amount: found 3; accepted: a column's name"),
        ('side = "his"\n[file]\nheader = false\n[columns]\namount = 0\n', r":5: columns\.amount: found 0"),
        ('side = "his"\n[file]\nencodings = ["gbx"]\n[columns]\namount = "x"\n', r":3: file\.encodings: found gbx"),
        ('side = "his"\n[time]\nzone = "China"\n[columns]\namount = "x"\n', r":3: time\.zone: found China"),
        ('side = "his"\n[time]\ncutover = "24:00"\n[columns]\namount = "x"\n', r":3: time\.cutover"),
        ('side = "his"\n[columns]\namount = "x"\n[kind.values]\n"消费" = "sale"\n', r":5: kind\.values\.消费: found"),
        ('side = "his"\n[columns]\namount = "x"\n[totals]\npattern = "("\n', r":5: totals\.pattern"),
        ('side = "his"\n[columns]\namount = "x"\n[amount]\nunit = "jiao"\n', r":5: amount\.unit: found jiao"),
        ('side = \n', r":1: not TOML"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_where_it_is(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "ours.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MappingError) as caught:
        load_file(path)
    said = caught.value.text(AgentTexts("en"))
    assert re.search(re.escape(str(path)) + ".*" + told, said), said
    assert "reconcile.mapping" not in caught.value.text(AgentTexts("zh-CN"))
    assert caught.value.exit_code == 2


def test_an_unknown_format_names_its_neighbour() -> None:
    with pytest.raises(MappingError, match="Did you mean allinpay"):
        load("alinpay")
