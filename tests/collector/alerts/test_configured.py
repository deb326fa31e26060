"""[[alert]], [[webhook]] and [oidc] in the collector's file: read into values, or refused with file, line and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config import InvalidConfigError
from collector.access.roles import Role
from collector.alerts.rules import Rule, Webhook, When
from collector.config import Config, load
from collector.texts import Texts


def read(folder: Path, text: str) -> Config:
    path = folder / "collector.toml"
    path.write_text(text)
    return load(path, {"database.url": f"sqlite:///{folder}/l.sqlite"}, {})


def test_alerts_webhooks_and_a_provider_are_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n")
    secret.chmod(0o600)
    config = read(
        tmp_path,
        f"""
        [[webhook]]
        name = "ops"
        url = "https://chat.example/hooks/1?key=2"
        secret_file = "{secret}"
        [[webhook]]
        name = "finance"
        url = "http://127.0.0.1:9000/"
        timeout = "3s"
        [[alert]]
        name = "doubt"
        when = "pending"
        after = "10m"
        [[alert]]
        name = "silent"
        when = "agent_stale"
        site = "east"
        webhooks = ["ops"]
        [oidc]
        issuer = "https://id.example/realms/hospital"
        client_id = "tillwatch"
        client_secret_file = "{secret}"
        roles = ["till=admins=admin", "cash-office=cashier-lead"]
        """,
    )
    assert config.alerts == (
        Rule(name="doubt", when=When.PENDING, after_s=600),
        Rule(name="silent", when=When.AGENT_STALE, after_s=900, site="east", webhooks=("ops",)),
    )
    assert config.webhooks == (
        Webhook(name="ops", url="https://chat.example/hooks/1?key=2", secret_file=secret),
        Webhook(name="finance", url="http://127.0.0.1:9000/", timeout_s=3),
    )
    assert config.webhooks[0].secret() == "s3cret"
    assert config.oidc is not None
    assert config.oidc.roles == (("till=admins", Role.ADMIN), ("cash-office", Role.CASHIER_LEAD))
    assert config.oidc.client_secret == "s3cret"
    assert read(tmp_path, "").oidc is None


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('[alert]\nname = "a"', 1, "several times"),
        ('[[alert]]\nname = "a"\nwhen = "pendin"', 3, "pending"),
        ('[[alert]]\nname = "a"\nwhen = "pending"\naftr = "5m"', 4, "after"),
        ('[[alert]]\nwhen = "pending"', 1, "name"),
        ('[[alert]]\nname = "a"\nwhen = "gaps"\nwebhooks = ["ops"]', 4, "no [[webhook]]"),
        ('[[webhook]]\nname = "a"\nurl = "ftp://x"', 3, "http"),
        ('[[webhook]]\nname = "a"\nurl = "http://x/"\n[[webhook]]\nname = "a"\nurl = "http://y/"', 5, "twice"),
        ('[oidc]\nissuer = "https://x"\nclient_id = "a"\nclient_secret_file = "/nowhere"', 4, "client_secret_file"),
        ("[[alerts]]\n", 1, "alert"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(InvalidConfigError) as caught:
        read(tmp_path, text)
    shown = caught.value.text(Texts("en"))
    assert said in shown
    assert f"collector.toml:{line}:" in shown
    assert "\n" not in shown
