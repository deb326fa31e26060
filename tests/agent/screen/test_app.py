"""The screen, driven by keys: what it shows, hides, finds, marks and saves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path

import pytest
from textual.pilot import Pilot

from agent import tlog
from agent.bridge import wire
from agent.playback import observe
from agent.screen.app import LiveScreen
from agent.screen.model import Model
from agent.tlog import Event, Happened
from drivers import registry
from drivers.observations import Answer
from tests.agent.screen.lines import BEGAN, BROKEN, PAN, Bridge, screen

Play = Callable[[LiveScreen, Pilot[None], Bridge], Awaitable[None]]


def played(folder: Path, play: Play, language: str = "en", size: tuple[int, int] = (130, 40)) -> None:
    async def main() -> None:
        bridge = Bridge()
        app = screen(folder, bridge, language)
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await play(app, pilot, bridge)

    asyncio.run(main())


async def shown(app: LiveScreen, pilot: Pilot[None]) -> str:
    """The text on the screen, after a turn."""
    app.turn()
    await pilot.pause()
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


async def search(app: LiveScreen, pilot: Pilot[None], text: str) -> None:
    await pilot.press("slash")
    app._search.value = text
    await pilot.press("enter")


def test_a_payment_as_frames_and_as_bytes_masked(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays()
        text = await shown(app, pilot)
        clock = datetime.fromtimestamp(BEGAN.wall_ns / 1e9)
        assert f"{clock:%H:%M:%S}.010" in text
        assert "cashier  request     ok" in text
        assert "terminal answer      ok" in text
        assert "last: purchase 12.34 EUR approved" in text
        assert "errors 0 of 10" in text
        assert "cashier port pty:/run/tillwatch/pos1 in use" in text
        app.rows.move(7)
        text = await shown(app, pilot)
        assert "0000  02 30 37" in text
        assert "497554******4970" in text
        await pilot.press("b")
        text += await shown(app, pilot)
        for hidden in (PAN, PAN[6:12].encode().hex(" ").upper()):
            assert hidden not in text

    played(tmp_path, play)


def test_errors_stand_out_and_can_be_looked_at_alone(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays(BROKEN)
        bridge.happens(wire.LINK, link="down")
        assert "errors 3 of 11" in await shown(app, pilot)
        await pilot.press("e")
        text = await shown(app, pilot)
        assert "only: errors" in text
        rows = app.model.rows
        assert [row.kind for row in rows] == ["noise", "ack", "event"]
        assert "! ← terminal noise" in text
        assert "bad LRC" in text
        assert "terminal unplugged" in text

    played(tmp_path, play)


def test_filters_by_direction_and_kind(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays()
        await shown(app, pilot)
        await pilot.press("d")
        assert {str(row.direction) for row in app.model.rows} == {"cashier"}
        await pilot.press("d", "k", "k", "k")
        assert [(str(row.direction), row.kind) for row in app.model.rows] == [("terminal", "answer")]
        await pilot.press("d")
        text = await shown(app, pilot)
        assert "only: answers" in text
        assert len(app.model.rows) == 1

    played(tmp_path, play)


async def taken(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
    """All that has come is shown; a turn takes only what fits into its time."""
    while bridge.waiting:
        app.turn()
    await shown(app, pilot)


def test_an_old_row_stays_under_the_cursor_while_newer_ones_push_the_oldest_out(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        app.line.model = Model(capacity=100)
        for _ in range(10):
            bridge.pays()
        await taken(app, pilot, bridge)
        app.rows.move(60)
        before = app.rows.selected
        top = app.rows.scroll_offset.y
        bridge.pays()
        await taken(app, pilot, bridge)
        assert before is not None
        assert app.rows.selected is before
        assert app.rows.scroll_offset.y == top - 10
        for _ in range(20):
            bridge.pays()
        await taken(app, pilot, bridge)
        assert app.rows.cursor == 0, "it had to go in the end"

    played(tmp_path, play)


def test_control_c_leaves(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        assert not app._exit
        await pilot.press("ctrl+c")
        assert app._exit

    played(tmp_path, play)


def test_paused_it_stands_still_and_counts(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays()
        await shown(app, pilot)
        await pilot.press("space")
        bridge.pays()
        text = await shown(app, pilot)
        assert "PAUSED, 10 new" in text
        assert len(app.model.rows) == 10
        await pilot.press("space")
        assert "PAUSED" not in await shown(app, pilot)
        assert len(app.model.rows) == 20
        assert app.rows.cursor == 19

    played(tmp_path, play)


def test_search_goes_from_one_to_the_next(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays()
        bridge.pays()
        await shown(app, pilot)
        await search(app, pilot, "approved")
        assert app.rows.cursor == 17
        await pilot.press("N")
        assert app.rows.cursor == 7
        await pilot.press("n")
        assert app.rows.cursor == 17
        await search(app, pilot, "nowhere")
        assert "'nowhere' is nowhere" in await shown(app, pilot)
        await pilot.press("escape")
        assert app.model.search == ""
        await search(app, pilot, "39 37 38")  # the currency's digits, as bytes
        assert app.model.rows[app.rows.cursor].kind == "request"

    played(tmp_path, play)


def test_marked_and_saved_it_decodes_as_it_was_shown(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays()
        await shown(app, pilot)
        await pilot.press("m")
        bridge.happens(wire.LINK, link="down")
        assert "mark 1" in await shown(app, pilot)
        await pilot.press("s")
        assert "saved: " in await shown(app, pilot)

    played(tmp_path, play)
    (path,) = tmp_path.glob("pos1-*.tlog")
    assert PAN.encode().hex(" ").upper() not in path.read_text()
    log = tlog.read(path)
    assert [each.event for each in log.records if isinstance(each, Happened)] == [Event.MARK, Event.UNPLUGGED]
    assert log.header.settings == "9600 8N1"
    seen = [each.observation for each in observe(log.records, registry.get("concert"), log.header.framing)]
    assert sum(isinstance(each, Answer) for each in seen) == 1


def test_another_terminal_and_a_bridge_that_ends(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        assert "Nothing has passed yet." in await shown(app, pilot)
        bridge.pays()
        bridge.waiting.append(None)
        bridge.connected = False
        text = await shown(app, pilot)
        assert "the bridge has ended" in text
        assert "NO BRIDGE" in text
        await pilot.press("t")
        text = await shown(app, pilot)
        assert "pos2 · zvt" in text
        assert len(app.model.rows) == 1

    played(tmp_path, play)


def test_what_a_terminal_sends_does_not_steer_the_screen(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays(BROKEN[:-20] + b"\x1b[2J[red]x[/red]" + BROKEN[-20:])
        app.model.search = "[red"
        text = await shown(app, pilot)
        assert "\x1b" not in text

    played(tmp_path, play)


def test_chinese(tmp_path: Path) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays()
        text = await shown(app, pilot)
        assert "收银 request" in text
        assert "上一笔" in text
        assert "暂停" in text

    played(tmp_path, play, language="zh-CN")


@pytest.mark.parametrize("size", [(40, 12), (200, 60)])
def test_any_size_of_window(tmp_path: Path, size: tuple[int, int]) -> None:
    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        bridge.pays()
        assert "pos1" in await shown(app, pilot)
        await pilot.press("home", "pageup", "up", "end", "pagedown", "down")
        assert app.rows.following

    played(tmp_path, play, size=size)


def test_a_flood_is_taken_in_turns_and_bounded(tmp_path: Path) -> None:
    """Five thousand payments at once: no turn takes them all, the keys still work, and memory has its bound."""

    async def play(app: LiveScreen, pilot: Pilot[None], bridge: Bridge) -> None:
        for _ in range(1_500):
            bridge.pays()
        app.turn()
        assert bridge.waiting  # a turn ended before all was taken
        turns = 0
        while bridge.waiting:
            app.turn()
            turns += 1
        await pilot.press("e")
        assert app.model.filter.wrong_only
        assert app.model.total == 15_000
        assert len(app.model.held) == 10_000

    played(tmp_path, play)
