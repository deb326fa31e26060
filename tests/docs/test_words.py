"""One word for one thing, also in Chinese: the glossary's, in every text for people."""

from __future__ import annotations

import re

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


def test_the_technicians_page_says_the_same_in_chinese() -> None:
    """Each step, option, command and link of the one is in the other."""
    english, chinese = ((ROOT / "docs" / f"technician{tail}.md").read_text("utf-8") for tail in ("", ".zh-CN"))
    for form in (r"`([a-z_]+|--[a-z-]+|tillwatch [^`]*)`", r"\]\(([^)]*)\)"):
        assert not set(re.findall(form, english)) - set(re.findall(form, chinese)) - {"technician.zh-CN.md"}


@pytest.mark.parametrize(("other", "word"), OTHER_WORDS.items())
def test_texts_use_the_word_of_the_glossary(other: str, word: str) -> None:
    assert word in (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    assert not [f"{path.relative_to(ROOT)}: {other}" for path in TEXTS if other in path.read_text(encoding="utf-8")]
