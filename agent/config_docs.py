"""Writes docs/configuration.md from the schema: `python -m agent.config_docs > docs/configuration.md`."""

from __future__ import annotations

import sys

from agent.config_schema import SECTIONS, Key
from agent.config_values import Choice
from agent.texts import Texts

_HEAD = """\
# Configuration

<!-- Made by `python -m agent.config_docs > docs/configuration.md`; a test fails when it is stale. -->

One TOML file, `/etc/tillwatch/agent.toml` unless `--config` names another.
[config/agent.example.toml](../config/agent.example.toml) is a complete example; `tillwatch check` says what is wrong
with yours, `tillwatch devices` prints terminals to paste.

An unknown key, a wrong type or an impossible value stops the program before it touches a device: exit code 2 and one
line with file, line, key and what is accepted.

## Environment

Each key may be overridden by an environment variable, `TILLWATCH_<TABLE>__<KEY>` in capitals, its value without
quotes. A terminal is named by its name, in capitals, `-` as `_`.

| variable | overrides |
| --- | --- |
| `TILLWATCH_AGENT__ID=cashier-08` | `id` in `[agent]` |
| `TILLWATCH_MQTT__URL=mqtts://broker.example` | `url` in `[mqtt]`; also makes the table where the file has none |
| `TILLWATCH_TERMINAL__POS_1__BAUDRATE=115200` | `baudrate` of the terminal `pos-1` |
| `TILLWATCH_TERMINAL__POS_1__CONFIRM__QUIET=3s` | `quiet` in its `[terminal.confirm]` |

Durations are a number and a unit, as `500ms`, `5s`, `15m`, `24h`, `2d`. Paths are absolute.
"""


def document() -> str:
    """The whole page."""
    texts = Texts("en")
    parts = [_HEAD]
    for section in SECTIONS:
        title = "[[terminal]]" if section.name == "terminal" else f"[{section.name}]"
        parts += [
            f"\n## `{title}`\n",
            section.meaning,
            "",
            "| key | accepted | default | meaning |",
            "| --- " * 4 + "|",
        ]
        parts += [_row(key, texts) for key in section.keys]
    return "\n".join(parts) + "\n"


def _row(key: Key, texts: Texts) -> str:
    if key.required:
        default = "required"
    elif key.default is not None:
        default = f"`{key.default}`"
    else:
        default = key.derived or "none"
    # The list of protocols depends on what is installed.
    open_ended = isinstance(key.kind, Choice) and callable(key.kind.options)
    accepted = "a protocol's name" if open_ended else key.kind.accepts.say(texts)
    cells = (f"`{key.name}`", accepted.replace("|", "\\|"), default, key.meaning.replace("|", "\\|"))
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(document())
