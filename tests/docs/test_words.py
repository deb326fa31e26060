"""One word for one thing, also in Chinese: the glossary's, in every text for people."""

from __future__ import annotations

import pytest

from tests.docs.written import ROOT

#: said by nobody → the glossary's word
OTHER_WORDS = {
    "个案": "工单",
    "网桥": "桥接",
    "收银软件": "收银程序",
    "采集端": "汇总服务",
    "采集器": "汇总服务",
    "汇集端": "汇总服务",
    "凭条": "签购单",
    "返回码": "应答码",
    "消息代理": "消息服务器",
    "日志库": "本机日志",
    "已入账未收款": "已入账未扣款",
}
TEXTS = [
    *sorted(ROOT.glob("*/locale/zh-CN/*.toml")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "config" / "codes").glob("*.toml")),
]


@pytest.mark.parametrize(("other", "word"), OTHER_WORDS.items())
def test_texts_use_the_word_of_the_glossary(other: str, word: str) -> None:
    assert word in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert not [f"{path.relative_to(ROOT)}: {other}" for path in TEXTS if other in path.read_text(encoding="utf-8")]
