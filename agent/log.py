"""The log: one line an event, JSON for machines, plain text for people on a terminal, never a card number.

`logger()` gives a logger that any module may hold; what it does is decided by the last `configure`. Logging never
raises into its caller and never waits for whoever reads the log (log_sink.py).

    log = logger(terminal="pos1")
    log.info("line.up", device="/dev/ttyUSB0", baudrate=9600)
"""

from __future__ import annotations

import json
import logging
import math
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, TextIO, cast

from agent.log_sink import Sink
from agent.structured import structlog
from drivers.cards import scrub

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_DEEPEST = 6
_LARGEST = 10**30
_LONGEST = 8192  # of one string: a log line is no place for a dump
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31"}


class Logger(structlog.BoundLoggerBase):
    """Logs events with facts. `bind(**facts)` gives one that adds these facts to each line."""

    def debug(self, event: str, /, **facts: object) -> None:
        """For whoever looks for a fault."""
        self._say("debug", event, facts)

    def info(self, event: str, /, **facts: object) -> None:
        """The usual course of things."""
        self._say("info", event, facts)

    def warning(self, event: str, /, **facts: object) -> None:
        """Something to look at; work goes on."""
        self._say("warning", event, facts)

    def error(self, event: str, /, **facts: object) -> None:
        """Something does not work."""
        self._say("error", event, facts)

    def exception(self, event: str, /, **facts: object) -> None:
        """An error with the exception that is being handled."""
        self._say("error", event, {"exc_info": True, **facts})

    def _say(self, level: str, event: str, facts: dict[str, object]) -> None:
        if LEVELS[level] < _state.level:
            return
        try:
            self._proxy_to_logger(level, event, **facts)
        except Exception:  # noqa: BLE001  whatever is wrong with the facts must not stop a payment
            with suppress(Exception):
                _Output().msg(_render(None, level, _stamp(None, level, {"event": _word(event), "facts": "unusable"})))


class _State:
    """What the last `configure` said. All loggers look here, so a change of level reaches each of them."""

    def __init__(self) -> None:
        self.level = LEVELS["info"]
        self.console = False
        self.colours = False
        self.sink: Sink | None = None

    def output(self) -> Sink:
        if self.sink is None:
            self.sink = Sink(sys.stderr, _dropped)
        return self.sink


_state = _State()


class _Output:
    """What structlog writes to: takes the rendered line, whatever the level."""

    def msg(self, line: str) -> None:
        _state.output().write(line)

    debug = info = warning = error = msg


def configure(level: str = "info", format: str = "auto", stream: TextIO | None = None) -> None:
    """Set level (debug, info, warning, error), format (auto, console, json) and stream (stderr) for the process.

    Libraries that use the standard library's logging are heard from warning on.
    """
    stream = stream or sys.stderr
    tty = _is_tty(stream)
    if _state.sink is not None:
        _state.sink.close()
    _state.sink = Sink(stream, _dropped)
    _state.console = format == "console" or (format == "auto" and tty)
    _state.colours = _state.console and tty
    change_level(level)
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=Logger,
        logger_factory=lambda *_: _Output(),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if not isinstance(handler, _FromLibraries)]
    root.addHandler(_FromLibraries(logging.WARNING))
    root.setLevel(logging.WARNING)


def change_level(name: str) -> None:
    """Change what is logged, at once and for all loggers. Raises ValueError for a name that is no level."""
    if name not in LEVELS:
        raise ValueError(name)
    _state.level = LEVELS[name]


def level() -> str:
    """The name of the present level."""
    return next(name for name, rank in LEVELS.items() if rank == _state.level)


def logger(**facts: object) -> Logger:
    """A logger that adds these facts to each line. May be made before `configure`."""
    lazy = structlog.wrap_logger(_Output(), processors=_PROCESSORS, wrapper_class=Logger)
    return cast(Logger, lazy.bind(**facts))


class _FromLibraries(logging.Handler):
    """Takes what libraries log and writes it like our own."""

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, object] = {"library": record.name}
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        try:
            text = record.getMessage()
        except Exception:  # noqa: BLE001  the library's own format string does not fit its arguments
            text = str(record.msg)
        log = logger()
        (log.error if record.levelno >= logging.ERROR else log.warning)(text, **facts)


# -- processors: what happens to an event on its way to a line ----------------------------------------------


def _add_exception(_: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
    info = event.pop("exc_info", None)
    if isinstance(info, BaseException):
        event["exception"] = "".join(traceback.format_exception(info))
    elif isinstance(info, tuple):
        event["exception"] = "".join(traceback.format_exception(*info))
    elif info:
        event["exception"] = traceback.format_exc()
    return event


def _plain(_: object, __: str, event: dict[str, Any]) -> dict[str, Any]:
    return {_word(key): _clean(value, 0) for key, value in event.items()}


def _stamp(_: object, name: str, event: dict[str, Any]) -> dict[str, Any]:
    line = {
        "ts": datetime.now().astimezone().isoformat(timespec="milliseconds"),
        "level": name,
        "event": event.pop("event", ""),
    }
    for key, value in event.items():
        line[f"{key}_" if key in line else key] = value
    return line


def _render(_: object, __: str, event: Mapping[str, Any]) -> str:
    if not _state.console:
        return json.dumps(event, ensure_ascii=False)
    facts = " ".join(f"{key}={_shown(value)}" for key, value in event.items() if key not in _HEAD)
    trace = "".join(f"\n    {line}" for line in str(event.get("exception", "")).splitlines())
    name = str(event["level"])
    shown = f"\x1b[{_COLOURS[name]}m{name:<7}\x1b[0m" if _state.colours else f"{name:<7}"
    time = str(event.get("ts", ""))[11:23]
    return f"{time} {shown} {_shown(event['event'], quoted=False)} {facts}".rstrip() + _printable(trace)


def _dropped(lines: int) -> str:
    return _render(None, "warning", _stamp(None, "warning", {"event": "log.dropped", "lines": lines}))


_HEAD = ("ts", "level", "event", "exception")
_PROCESSORS: list[structlog.typing.Processor] = [_add_exception, _plain, _stamp, _render]  # type: ignore[list-item]


def _clean(value: object, depth: int) -> object:
    """The value as JSON can carry it, card numbers masked, bytes only counted: they may hold anything."""
    if depth < _DEEPEST and isinstance(value, Mapping):
        return {_word(str(key)): _clean(item, depth + 1) for key, item in value.items()}
    if depth < _DEEPEST and isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth + 1) for item in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _number(value)
    return value if value is None or isinstance(value, bool) else _word(_text_of(value))


def _number(value: float) -> object:
    if isinstance(value, float):
        if not math.isfinite(value):
            return str(value)  # JSON has no word for it
        value = round(value, 6)  # sixteen decimals would look like a card number
    elif abs(value) >= _LARGEST:
        return "a very large number"
    masked = scrub(str(value))
    return value if masked == str(value) else masked


def _text_of(value: object) -> str:
    try:
        return str(value)
    except Exception:  # noqa: BLE001  somebody else's __str__
        return f"<{type(value).__name__}>"


def _word(text: str) -> str:
    # Lone surrogates (undecodable file names) can't be written as UTF-8.
    masked = scrub(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return masked if len(masked) <= _LONGEST else masked[:_LONGEST] + "…"


def _shown(value: object, *, quoted: bool = True) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = _printable(text).replace("\n", "\\n")
    return json.dumps(text, ensure_ascii=False) if quoted and isinstance(value, str) and " " in text else text


def _printable(text: str) -> str:
    """Without control characters: what a terminal on the line sends must not steer the terminal of a reader."""
    return "".join(char if char.isprintable() or char == "\n" else ascii(char)[1:-1] for char in text)


def _is_tty(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:  # closed
        return False
