"""The collector's composition root: builds ledger, hub, ingest, duties and web, joins them, ends them cleanly.

The web runs in the main thread; ingest and each duty have their own. A stop (SIGTERM, Ctrl-C) ends the pages first,
then the ingest, with its batch stored and acknowledged, then the duties.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Sequence
from datetime import time
from types import FrameType
from zoneinfo import ZoneInfo

import uvicorn

from agent import __version__
from agent.log import logger
from agent.notify import notify
from collector.access.access import Access
from collector.access.people import CONSOLE
from collector.access.roles import Role
from collector.alerts.courier import Courier
from collector.alerts.watch import Watch
from collector.config import Config
from collector.database import database_url
from collector.duty import Duty
from collector.enrol.service import EnrolService, service_of
from collector.errors import ServiceError
from collector.housekeeping import Housekeeping
from collector.hub import Hub
from collector.ingest.ingest import Ingest
from collector.ledger import Ledger
from collector.reconcile import mapping
from collector.reconcile.nightly import Nightly, NightlyReconciliation
from collector.relay import Relay
from collector.web.app import create_app, stop_streams
from collector.web.pages import ROUTERS, error_page
from collector.web.settings import WebSettings

_GRACE_S = 3  # for pages that are being sent when the collector ends; live ones never end by themselves


class Daemon:
    """One collector, from start to stop. Raises TillwatchError from `run` when it can't start."""

    def __init__(self, config: Config, guest: Role | None = None) -> None:
        self._config = config
        self._guest = guest
        self._log = logger(part="collector")

    def run(self) -> int:
        """Run until SIGTERM or SIGINT."""
        config = self._config
        door = _bind(*config.web.listen)
        try:
            ledger = Ledger.open(database_url(config.database))
        except BaseException:
            door.close()
            raise
        hub = Hub()
        ingest = Ingest(ledger, config.mqtt, hub, config.client_id) if config.mqtt else None
        duties = self._duties(ledger, hub)
        enrolment = self._enrolment(ledger, door)
        server = self._server(ledger, hub, ingest, enrolment)
        self._offer_first_admin(ledger, door)
        _ignore_second_delivery()
        try:
            if ingest:
                ingest.start()
            for duty in duties:
                duty.start()
            if enrolment:
                enrolment.start()
                self._log.info("enrol.ready", port=enrolment.port)
            notify("READY=1")
            self._log.info("collector.ready", url=_address(door), database=ledger.where, version=__version__)
            server.run(sockets=[door])
        finally:
            notify("STOPPING=1")
            if enrolment:
                enrolment.stop()
            if ingest:
                ingest.stop()
            for duty in duties:
                duty.stop()
            ledger.close()
            door.close()
        return 0

    def _enrolment(self, ledger: Ledger, door: socket.socket) -> EnrolService | None:
        try:
            return service_of(self._config, ledger)
        except BaseException:
            ledger.close()
            door.close()
            raise

    def _duties(self, ledger: Ledger, hub: Hub) -> Sequence[Duty]:
        duties: list[Duty] = [Housekeeping(ledger, self._config.retention)]
        if ledger.is_postgresql:
            duties.append(Relay(ledger, hub))
        if settings := nightly_settings(self._config):
            duties.append(NightlyReconciliation(ledger, settings))
        duties += self._alerting(ledger, hub)
        return duties

    def _alerting(self, ledger: Ledger, hub: Hub) -> list[Duty]:
        """Rules are watched and webhooks served even when the file names none: what waits is delivered, or ended."""
        config = self._config
        watch = Watch(
            ledger,
            config.alerts,
            config.webhooks,
            clock=ledger.clock,
            hub=hub,
            stale_s=config.web.stale_s,
            public_url=config.web.public_url,
        )
        return [watch, *(Courier(ledger, webhook, ledger.clock) for webhook in config.webhooks)]

    def _server(
        self, ledger: Ledger, hub: Hub, ingest: Ingest | None, enrolment: EnrolService | None
    ) -> uvicorn.Server:
        app = create_app(
            ledger,
            web_settings(self._config, self._guest),
            hub,
            pages=ROUTERS,
            error_page=error_page,
            ingest=ingest.health if ingest else None,
            enrolment=enrolment.desks if enrolment else None,
        )
        return _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="on",
                server_header=False,
                timeout_graceful_shutdown=_GRACE_S,
            )
        )

    def _offer_first_admin(self, ledger: Ledger, door: socket.socket) -> None:
        """Until there is an administrator, the console shows how to become the first one."""
        if self._guest is not None:
            return
        access = Access(ledger, ledger.clock)
        secret = access.first_admin_secret(CONSOLE)
        if secret is not None:
            base = self._config.web.public_url or _address(door)
            self._log.warning(
                "collector.no_administrator",
                url=f"{base}/first/{secret}",
                minutes=access.lifetimes.first_admin_s // 60,
            )


class _Server(uvicorn.Server):
    """Ends the live streams when it is told to stop: it waits for all answers, and those never end by themselves."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called in the signal handler, where no lock may be taken: so from another thread."""
        threading.Thread(target=stop_streams, args=(self.config.app,), name="stop-streams").start()
        super().handle_exit(sig, frame)


def nightly_settings(config: Config) -> Nightly | None:
    """When and from where is reconciled; None: never by itself."""
    wanted = config.reconcile
    if wanted.folder is None:
        return None
    return Nightly(
        folder=wanted.folder,
        zone=ZoneInfo(config.web.timezone or mapping.DEFAULT_ZONE),
        at=time.fromisoformat(wanted.at),
        until=time.fromisoformat(wanted.until),
        weekends=wanted.weekends,
    )


def web_settings(config: Config, guest: Role | None) -> WebSettings:
    """What the web side needs of the configuration."""
    web = config.web
    return WebSettings(
        hospital=web.hospital,
        contact=web.contact,
        language=web.language,
        timezone=web.timezone,
        public_url=web.public_url,
        guest=guest,
        stale_s=web.stale_s,
        metrics_open=web.metrics_open,
        oidc=config.oidc,
    )


def _bind(host: str, port: int) -> socket.socket:
    """The socket that listens, before anything else is touched."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        door = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServiceError("collector.no_listen", place=f"{host}:{port}", reason=error.strerror or error) from error
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(address)
        door.listen()  # who comes before the pages are ready waits instead of being refused
    except OSError as error:
        door.close()
        raise ServiceError("collector.no_listen", place=f"{host}:{port}", reason=error.strerror or error) from error
    return door


def _address(door: socket.socket) -> str:
    host, port = door.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _ignore_second_delivery() -> None:
    """uvicorn ends by SIGTERM and SIGINT, and raises them again afterwards: then we are ending already."""

    def ending(_number: int, _frame: FrameType | None) -> None:
        return

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ending)
