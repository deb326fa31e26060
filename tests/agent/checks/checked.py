"""What the tests of checks share: a configuration, and the line that people read."""

from __future__ import annotations

from pathlib import Path

from agent.checks import Check, State, Who
from agent.config import Config, Terminal, load
from agent.texts import Texts
from tests.broker import Broker

ME = Who.service()
NOBODY = Who("nobody", 65534, frozenset({65534}))


def configured(folder: Path, device: str = "serial:/dev/nowhere", more: str = "", mqtt: str = "") -> Config:
    path = folder / "agent.toml"
    path.write_text(
        f'[agent]\nid = "cashier-07"\nstate_dir = "{folder}/state"\nrun_dir = "{folder}/run"\n'
        f'[[terminal]]\nname = "pos1"\nprotocol = "concert"\ndevice = "{device}"\n{more}\n{mqtt}'
    )
    return load(path, {})


def terminal_of(folder: Path, device: str = "serial:/dev/nowhere", more: str = "") -> Terminal:
    return configured(folder, device, more).terminals[0]


def with_password(folder: Path, broker: Broker, password: str) -> str:
    file = folder / "password"
    file.write_text(password)
    file.chmod(0o600)
    return f'[mqtt]\nurl = "{broker.url}"\nusername = "cashier-07"\npassword_file = "{file}"\n'


def said(check: Check, language: str = "en") -> str:
    """The whole line, as people read it; each is good in both languages."""
    for texts in (Texts("en"), Texts("zh-CN")):
        line = f"{check.title(texts)}: {check.what.say(texts)} {check.mend(texts) or ''}"
        assert "check." not in line
        assert "{" not in line
        assert "\n" not in line
        assert check.state is State.OK or check.mend(texts) or check.what.key == "check.journal_large"
    texts = Texts(language)
    return f"{check.what.say(texts)} → {check.mend(texts)}"
