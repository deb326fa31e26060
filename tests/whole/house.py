"""A hospital for tests of the dashboard: broker, collector, a cashier PC with a terminal, the books of a day."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response

from tests.broker import Broker, free_port
from tests.waits import until
from tests.whole.stand import Stand

PASSWORD = "three words of rain"
BOOKS_OF = "2026-03-04"


class House:
    """Everything that runs; it ends with the block that opened it."""

    def __init__(self, folder: Path, broker: Broker) -> None:
        self.folder = folder
        self.database = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.broker = broker
        self.stand = Stand(folder / "pc", broker)
        self._log = folder / "collector.log"
        self._collector = self._spawn(
            "agent", "collector", "--database", self.database, "--mqtt", broker.url, "--listen", "127.0.0.1:0"
        )
        told = until(lambda: self._told("collector.ready"), 60, "the collector is ready")
        self.url: str = told["url"]

    @property
    def first_link(self) -> str:
        """Where the first administrator is made; it stands on the console."""
        told = self._told("collector.no_administrator")
        assert told is not None
        return str(told["url"])

    def keep_books(self) -> None:
        """Have a day played and reconciled."""
        words = ["--database", self.database, "--mqtt", self.broker.url, "--folder", str(self.folder / "books")]
        command = [sys.executable, "-m", "collector.demo", *words, "--day", BOOKS_OF]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr

    def start_pc(self) -> tuple[str, str]:
        """Two ZVT terminals: one approves, one loses its first answer. Returns the cashier's two addresses."""
        self.stand.folder.mkdir()
        addresses = []
        for name, scenario in (("pos1", "approve"), ("pos2", "lost,approve")):
            cashier = f"127.0.0.1:{free_port()}"
            device = self.stand.simulate("zvt", "--think", "0.1", "--scenario", scenario, tcp=True, name=name)
            confirm = 'currency = "CNY"\n[terminal.confirm]\nfirst_delay = "3s"\nquiet = "0.2s"\n'
            self.stand.terminal(name, "zvt", device, cashier=f"tcp:{cashier}", more=confirm)
            addresses.append(cashier)
        self.stand.start_agent()
        return addresses[0], addresses[1]

    def close(self) -> None:
        self.stand.close()
        self._collector.terminate()
        assert self._collector.wait(20) == 0, self._log.read_text()

    def _told(self, event: str) -> dict[str, Any] | None:
        for line in self._log.read_text(encoding="utf-8").splitlines():
            if line.startswith("{") and (told := json.loads(line)).get("event") == event:
                return dict(told)
        assert self._collector.poll() is None, self._log.read_text()
        return None

    def _spawn(self, module: str, *words: str) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as output:
            return subprocess.Popen([sys.executable, "-m", module, *words], stdout=output, stderr=output)


class Watched:
    """A browser's page that remembers whatever went wrong on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.wrong: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.wrong.append(f"{self.page.url}: {message.type}: {message.text}")

    def _failed(self, request: Request) -> None:
        # A page that is left ends its stream and what it was fetching; everything else that fails is a defect.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.wrong.append(f"{request.url}: {request.failure}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.wrong.append(f"{response.url}: {response.status}")


@contextmanager
def looking(context: BrowserContext) -> Iterator[Page]:
    """A page on which nothing may go wrong."""
    watched = Watched(context.new_page())
    yield watched.page
    watched.page.close()
    assert watched.wrong == []


def chromium() -> str:
    """Debian's Chromium."""
    found = shutil.which("chromium")
    assert found, "apt-get install chromium"
    return found


def context_of(browser: Browser, url: str, language: str, **options: Any) -> BrowserContext:
    """A browser of somebody who reads that language."""
    context = browser.new_context(base_url=url, locale=language, **options)
    context.set_default_timeout(30_000)
    return context
