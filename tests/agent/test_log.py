"""The log: no card number in any line, whatever is logged and whoever reads."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
import re
import select
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from agent import log
from agent.log_sink import Sink

ROOT = Path(__file__).parents[2]
PAN = "4975541234514970"  # passes the check digit; belongs to nobody
MASKED = "497554******4970"


@pytest.fixture(autouse=True)
def _configured_anew() -> Iterator[None]:
    yield
    log.configure(stream=sys.__stderr__)
    logging.getLogger().handlers = [h for h in logging.getLogger().handlers if type(h).__module__ != "agent.log"]


def logged(**facts: object) -> dict[str, object]:
    """What a JSON reader gets for these facts."""
    stream = io.StringIO()
    log.configure(format="json", stream=stream)
    log.logger().info("test", **facts)
    lines = stream.getvalue().split("\n")[:-1]
    assert len(lines) == 1
    line: dict[str, object] = json.loads(lines[0], parse_constant=pytest.fail)
    return line


class Opaque:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Opaque({self.text})"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no words")


def test_a_line_is_json_with_time_level_and_event() -> None:
    line = logged(terminal="pos1", baudrate=9600, ok=True, nothing=None, share=0.25)
    assert list(line)[:3] == ["ts", "level", "event"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", str(line["ts"]))
    assert (line["level"], line["event"]) == ("info", "test")
    assert (line["terminal"], line["baudrate"], line["ok"], line["nothing"], line["share"]) == (
        "pos1",
        9600,
        True,
        None,
        0.25,
    )


@pytest.mark.parametrize(
    "value",
    [
        PAN,
        f"card {PAN[:4]} {PAN[4:8]} {PAN[8:12]} {PAN[12:]} used",
        int(PAN),
        float(PAN),
        PAN.encode(),
        bytearray(PAN.encode()),
        memoryview(PAN.encode()),
        bytes.fromhex(PAN),
        {"deep": [{"er": (PAN,)}]},
        {PAN: 1},
        {PAN},
        frozenset({int(PAN)}),
        Opaque(PAN),
        [[[[[[[[[PAN]]]]]]]]],
        ValueError(PAN),
        Path("/tmp") / PAN,
        "x" * 8180 + " " + PAN,  # where a long text is cut
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_value_can_carry_a_card_number(value: object) -> None:
    stream = io.StringIO()
    for form in ("json", "console"):
        log.configure(format=form, stream=stream)
        log.logger(bound=value).info(f"seen {PAN}", value=value)
    shown = re.sub(r"[ -]", "", stream.getvalue())
    assert PAN not in shown
    assert PAN[:13] not in shown
    assert MASKED in shown


def test_no_exception_can_carry_a_card_number() -> None:
    stream = io.StringIO()
    log.configure(format="json", stream=stream)
    try:
        try:
            raise KeyError(PAN)
        except KeyError as cause:
            raise ValueError(f"for {PAN}") from cause
    except ValueError as error:
        log.logger().exception("failed")
        log.logger().error("failed", exc_info=error)
    assert PAN not in stream.getvalue()
    for line in stream.getvalue().splitlines():
        assert f"ValueError: for {MASKED}" in json.loads(line)["exception"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
        max_leaves=8,
    ),
    st.sampled_from([PAN, f"{PAN[:6]}-{PAN[6:]}", "6222021234567890128"]),
)
def test_every_value_gives_one_valid_line_without_the_card_number(value: object, pan: str) -> None:
    line = logged(value=value, beside=[value, pan, {"k": pan}])
    assert pan not in json.dumps(line)


def test_a_value_that_can_not_be_shown_is_named() -> None:
    assert logged(value=Broken())["value"] == "<Broken>"


def test_a_value_that_holds_itself_ends() -> None:
    loop: list[object] = []
    loop.append(loop)
    assert "[...]" in json.dumps(logged(value=loop))


@pytest.mark.parametrize("name", ["ts", "level", "event", "method_name", "self", "exc_info"])
def test_a_fact_may_have_any_name(name: str) -> None:
    line = logged(**{name: "fact"})
    assert (line["level"], line["event"]) == ("info", "test")


def test_bytes_are_counted_and_never_shown() -> None:
    assert logged(data=b"\x02secret\x03")["data"] == "<8 bytes>"


def test_levels_below_the_chosen_one_are_not_written_and_can_be_changed_while_running() -> None:
    stream = io.StringIO()
    log.configure("warning", "json", stream)
    early = log.logger()
    early.info("hidden")
    early.warning("first")
    log.change_level("debug")
    early.debug("second")
    log.change_level("error")
    early.warning("hidden")
    early.error("third")
    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["first", "second", "third"]
    assert log.level() == "error"
    with pytest.raises(ValueError, match="loud"):
        log.change_level("loud")


def test_structlogs_own_loggers_write_the_same_way() -> None:
    stream = io.StringIO()
    log.configure(format="json", stream=stream)
    structlog.get_logger().warning("from.structlog", card=PAN)
    assert json.loads(stream.getvalue())["card"] == MASKED


def test_libraries_are_heard_from_warning_on() -> None:
    stream = io.StringIO()
    log.configure("debug", "json", stream)
    library = logging.getLogger("some.library")
    library.info("hidden")
    library.warning("card %s", PAN)
    # Straight to our handler: pytest's own one would raise.
    own = next(h for h in logging.getLogger().handlers if type(h).__module__ == "agent.log")
    own.handle(logging.LogRecord("some.library", logging.CRITICAL, "", 0, "%d", ("does not fit",), None))
    try:
        raise OSError("gone")
    except OSError:
        library.exception("failed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", f"card {MASKED}"),
        ("error", "%d"),
        ("error", "failed"),
    ]
    assert {line["library"] for line in lines} == {"some.library"}
    assert "OSError: gone" in lines[2]["exception"]


def test_configuring_twice_writes_once() -> None:
    stream = io.StringIO()
    log.configure(format="json", stream=stream)
    log.configure(format="json", stream=stream)
    logging.getLogger("some.library").warning("once")
    assert stream.getvalue().count("once") == 1


# -- who reads --------------------------------------------------------------------------------------------


def test_people_on_a_tty_get_colours_and_no_json() -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    with os.fdopen(theirs, "w") as stream:
        log.configure(stream=stream)
        log.logger(terminal="pos1").warning("line.down", why="no answer", code=7)
        shown = os.read(ours, 4096).decode()
    os.close(ours)
    assert '\x1b[33mwarning\x1b[0m line.down terminal=pos1 why="no answer" code=7\n' in shown


def test_a_file_gets_json_and_console_on_a_file_has_no_colours(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as stream:
        log.configure(stream=stream)
        log.logger().info("one")
        log.configure(format="console", stream=stream)
        log.logger().info("two", why="no answer")
        stream.seek(0)
        first, second = stream.read().splitlines()
    assert json.loads(first)["event"] == "one"
    assert re.fullmatch(r'\d\d:\d\d:\d\d\.\d{3} info    two why="no answer"', second)


def test_what_a_device_sends_does_not_steer_the_readers_terminal() -> None:
    stream = io.StringIO()
    log.configure(format="console", stream=stream)
    log.logger().info("seen\x1b[2J\nforged", value="a\x1b]0;x\x07\r\nb")
    assert set("\x1b\x07\r") & set(stream.getvalue()) == set()
    assert stream.getvalue().count("\n") == 1


def test_a_full_pipe_never_blocks_and_the_loss_is_told_when_it_works_again() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, os.fdopen(reading, "rb", buffering=0) as reader:
        log.configure(format="json", stream=stream)
        own = log.logger()
        done = threading.Thread(
            target=lambda: [own.info("fill", n=n, text="x" * 500) for n in range(1000)], daemon=True
        )
        done.start()
        done.join(20)
        assert not done.is_alive(), "logging waits for its reader"
        text = _drain(reader)
        own.info("after")
        text += _drain(reader)
    lines = [json.loads(line) for line in text.decode().splitlines()]
    written = [line["n"] for line in lines if line["event"] == "fill"]
    assert written == list(range(len(written)))
    assert lines[-2]["event"] == "log.dropped"
    assert lines[-2]["lines"] == 1000 - len(written)
    assert lines[-1]["event"] == "after"


def test_a_socket_that_nobody_reads_never_blocks() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, os.fdopen(os.dup(ours.fileno()), "w") as stream:
        sink = Sink(stream, "{} lines lost".format)
        done = threading.Thread(target=lambda: [sink.write("x" * 4000) for _ in range(2000)], daemon=True)
        done.start()
        done.join(20)
        assert not done.is_alive()
        reader = theirs.makefile("rb", buffering=0)
        _drain(reader)  # type: ignore[arg-type]
        sink.write("after")
        assert re.search(rb"\d+ lines lost\nafter\n$", _drain(reader))  # type: ignore[arg-type]
        sink.close()
        reader.close()


def test_a_reader_that_is_gone_is_no_error() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        log.configure(format="json", stream=stream)
        os.close(reading)
        log.logger().info("nobody hears")
        log.logger().info("still nobody")


def test_a_closed_stream_is_no_error() -> None:
    stream = io.StringIO()
    log.configure(format="json", stream=stream)
    stream.close()
    log.logger().info("nobody hears")
    log.configure(format="auto", stream=stream)
    log.logger().info("nobody hears")


def test_the_log_brings_no_rich_into_the_agent() -> None:
    code = "import sys, agent.log; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def _drain(reader: io.FileIO) -> bytes:
    text = b""
    while select.select([reader], [], [], 0)[0]:
        with suppress(BlockingIOError):
            text += os.read(reader.fileno(), 1 << 16)
    return text
