"""The stand for tests of the whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker
from tests.whole.stand import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with Broker(tmp_path / "broker") as broker:
        stand = Stand(tmp_path, broker)
        yield stand
        stand.close()
