"""The collector's configuration: every mistake is one line that says where and what instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import InvalidConfigError
from agent.texts import Texts
from collector.config import load
from collector.config_docs import with_keys

ROOT = Path(__file__).parents[2]


def write(folder: Path, text: str) -> Path:
    path = folder / "collector.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path | None, options: dict[str, str] | None = None, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(InvalidConfigError) as caught:
        load(path, options or {}, environ or {})
    assert caught.value.exit_code == 2
    assert "\n" not in caught.value.text(Texts("zh-CN"))
    return caught.value.text(Texts("en"))


def test_the_example_can_be_used(tmp_path: Path) -> None:
    text = (ROOT / "config/collector.example.toml").read_text(encoding="utf-8")
    for name in ("mqtt.password", "database.password"):
        (tmp_path / name).write_text("secret")
        (tmp_path / name).chmod(0o600)
        text = text.replace(f"/etc/tillwatch/{name}", str(tmp_path / name))
    text = text.replace("/etc/tillwatch/ca.pem", str(tmp_path / "mqtt.password"))
    config = load(write(tmp_path, text), {}, {})
    assert config.mqtt is not None
    assert config.mqtt.tls
    assert config.web.timezone == "Asia/Shanghai"
    assert config.retention.events_s == 400 * 86_400


def test_without_a_file_the_options_and_defaults_say_all() -> None:
    config = load(None, {"database.url": "sqlite:///x", "mqtt.url": "mqtt://broker", "web.listen": "[::1]:0"}, {})
    assert config.database.url == "sqlite:///x"
    assert config.mqtt is not None
    assert (config.mqtt.host, config.mqtt.port, config.client_id) == ("broker", 1883, None)
    assert config.web.listen == ("::1", 0)
    assert config.web.metrics_open is True


def test_without_a_broker_there_are_pages_only() -> None:
    assert load(None, {}, {}).mqtt is None


def test_options_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[database]\nurl = "file"\n[web]\nstale = "1m"\nhospital = "H"\n')
    environ = {"TILLWATCH_DATABASE__URL": "environment", "TILLWATCH_WEB__METRICS_OPEN": "FALSE"}
    assert load(path, {}, environ).database.url == "environment"
    config = load(path, {"database.url": "option"}, environ)
    assert (config.database.url, config.web.metrics_open, config.web.stale_s) == ("option", False, 60.0)
    assert load(path, {}, {"TILLWATCH_AGENT__ID": "of the agent, not ours"}).web.hospital == "H"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[databse]\nurl = "x"', "collector.toml:1: databse: no such table; the nearest is [database]"),
        ('[web]\nlissen = "x"', "collector.toml:2: web.lissen: no such key; the nearest is listen"),
        ('[web]\nlisten = "x"', "collector.toml:2: web.listen: found 'x'; accepted: HOST:PORT"),
        ('[web]\nlisten = "h:99999"', "accepted: HOST:PORT"),
        ('[web]\ntimezone = "Mars/Base"', "time zone"),
        ('[web]\ntimezone = "../../etc/passwd"', "time zone"),
        ('[web]\nmetrics_open = "perhaps"', "true or false"),
        ('[web]\npublic_url = "ftp://x"', "http://HOST"),
        ('[mqtt]\nurl = "http://x"', "mqtt://HOST"),
        ("[mqtt]\nkeepalive = '1s'", "mqtt.url: is missing"),
        ('[mqtt]\nurl = "mqtt://h"\npassword_file = "/no/such"', "no/such can't be opened"),
        ("[retention]\nevents = 400", "a time span"),
        ("web = 3", "web: found 3; write it as a table"),
        ("[web", "not TOML"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(write(tmp_path, text))


def test_what_the_command_line_got_wrong_is_blamed_on_it(tmp_path: Path) -> None:
    assert refused(None, {"web.listen": "x"}).startswith("--listen: ")
    assert refused(None, {}, {"TILLWATCH_WEB__LISSEN": "x"}).endswith("the nearest is TILLWATCH_WEB__LISTEN")
    assert "copy config/collector.example.toml there" in refused(tmp_path / "none.toml")


def test_the_page_of_keys_is_fresh() -> None:
    page = (ROOT / "docs/collector.md").read_text(encoding="utf-8")
    assert with_keys(page) == page, "python -m collector.config_docs docs/collector.md"


def test_every_key_that_is_wrong_is_named_in_the_one_line(tmp_path: Path) -> None:
    """`tillwatch check` is for the agent's file: nothing else lists what is wrong with the collector's."""
    path = write(tmp_path, '[web]\nlisten = "x"\nstale = "soon"\n[log]\nlevel = "loud"\n')
    said = refused(path)
    assert said.startswith(f"{path}:2: web.listen: ")
    assert said.endswith("(and 2 more: web.stale, log.level)")
