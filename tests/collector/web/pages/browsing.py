"""Reading pages in tests: get one, its words, the payments that it lists."""

from __future__ import annotations

import re
from html import unescape

import httpx


def page(client: httpx.Client, path: str, status: int = 200, language: str = "en") -> str:
    answer = client.get(path, headers={"Accept": "text/html", "Accept-Language": language})
    assert answer.status_code == status, answer.text
    return answer.text


def words(html: str) -> str:
    """What is to be read on a page, without tags."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def listed(html: str) -> list[str]:
    """The payments of a page's table, in its order."""
    return re.findall(r'<tr data-row="([0-9A-Z]{26})"', html)
