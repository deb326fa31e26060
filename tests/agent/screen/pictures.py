"""Takes the pictures of the screen in the documentation: `python -m tests.agent.screen.pictures docs/images`.

A real bridge, a simulated terminal, pyTeliumManager as cashier application: an approval, a payment that is
declined, an answer that comes broken. The picture is Textual's own SVG, turned into a PNG by chromium.
"""

from __future__ import annotations

import asyncio
import html
import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from rich.cells import cell_len
from telium.manager import TerminalInitializationFailedException

from agent.config import load
from agent.screen.app import LiveScreen, Watched
from agent.screen.feed import Feed
from agent.texts import Texts
from drivers import registry
from drivers.driver import Scenario
from tests.agent.bench import bench, pay

SIZE = (132, 36)
PIXELS = (1640, 930)
_TEXT = re.compile(r'textLength="(?P<length>[\d.]+)"(?P<between>[^>]*)>(?P<text>[^<]*)</text>')


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="till-") as place:
        root = Path(place)
        with bench(root, Scenario.APPROVE, Scenario.DECLINE, Scenario.GARBAGE) as path:
            for _ in range(3):
                with suppress(AssertionError, TerminalInitializationFailedException):  # the terminal is at fault
                    pay(root)
            for language, name in (("en", "diag-screen"), ("zh-CN", "diag-screen.zh-CN")):
                asyncio.run(_picture(path, language, folder / f"{name}.svg"))
                _as_png(folder / f"{name}.svg")


async def _picture(config: Path, language: str, svg: Path) -> None:
    loaded = load(config)
    feed = Feed(loaded.agent.run_dir)
    watched = [Watched(terminal, registry.get(terminal.protocol)) for terminal in loaded.terminals]
    app = LiveScreen(watched, feed, Texts(language), config.parent)
    try:
        async with app.run_test(size=SIZE) as pilot:
            while not app.model.held or feed.waiting or not feed.status:
                await pilot.pause(0.1)
            await pilot.press("m", "b")
            rows = list(app.model.rows)
            app.rows.move(next(place for place, row in enumerate(rows) if row.kind == "answer" and row.text == ()))
            await pilot.pause(0.2)
            svg.write_text(app.export_screenshot(title=f"tillwatch diag --watch ({language})"), encoding="utf-8")
    finally:
        feed.close()


def _wide(found: re.Match[str]) -> str:
    """Rich counts a Chinese character as one cell of its SVG; it takes two."""
    text = html.unescape(found["text"])
    length = float(found["length"]) * cell_len(text) / max(1, len(text))
    return f'textLength="{length:.1f}"{found["between"]}>{found["text"]}</text>'


def _as_png(svg: Path) -> None:
    page = svg.with_suffix(".html")
    page.write_text(
        f'<meta charset="utf-8"><style>body{{margin:0}}img{{width:{PIXELS[0]}px}} </style>'
        + _TEXT.sub(_wide, svg.read_text(encoding="utf-8")).replace(
            "Fira Code", "DejaVu Sans Mono, Noto Sans Mono CJK SC"
        ),
        encoding="utf-8",
    )
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    target = f"--screenshot={svg.with_suffix('.png')}"
    subprocess.run([*command, f"--window-size={PIXELS[0]},{PIXELS[1]}", target, page.as_uri()], check=True)
    page.unlink()
    svg.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
