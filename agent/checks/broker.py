"""The MQTT broker: reachable, trusted, and (login.py) willing to let us in."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from agent.checks.certificate import Validity, validity, validity_of_file
from agent.checks.check import Check, State
from agent.checks.login import log_in, running
from agent.config import Config, Mqtt

_WAIT_S = 5.0
_SOON = timedelta(days=30)


def checks(config: Config) -> Iterator[Check]:
    """All checks of this module, up to the first that fails: the later ones need the earlier."""
    settings = config.mqtt
    if settings is None:
        yield Check.warn("broker", "check.broker_none")
        return
    if not settings.tls and not _local(settings.host):
        yield Check.warn("encryption", "check.broker_plain", url=settings.url)
    reached = connection(settings)
    yield reached
    if reached.state is State.FAIL:
        return
    if settings.tls:
        trusted = True
        for found in tls(settings, datetime.now(UTC)):
            trusted = trusted and found.state is not State.FAIL
            yield found
        if not trusted:
            return
    yield log_in(settings, config.agent.id, running(config.agent.run_dir))


def connection(settings: Mqtt) -> Check:
    """The broker's port answers."""
    try:
        socket.create_connection((settings.host, settings.port), _WAIT_S).close()
    except socket.gaierror:
        return Check.fail("broker", "check.broker_no_name", host=settings.host)
    except TimeoutError:
        return Check.fail("broker", "check.broker_silent", host=settings.host, port=settings.port)
    except OSError as error:
        reason = error.strerror or str(error)
        return Check.fail("broker", "check.broker_refused", host=settings.host, port=settings.port, reason=reason)
    return Check.ok("broker", "check.broker_ok", host=settings.host, port=settings.port)


def tls(settings: Mqtt, now: datetime) -> Iterator[Check]:
    """The broker's certificate is accepted, and neither it nor ours is about to end."""
    if settings.cert_file:
        dates = validity_of_file(settings.cert_file)
        if dates is None:
            yield Check.fail("own_certificate", "check.certificate_unreadable", path=settings.cert_file)
            return
        yield _dated("own_certificate", dates, now, settings.cert_file)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.cert_file:
            context.load_cert_chain(settings.cert_file, settings.key_file)
    except (OSError, ValueError) as error:
        yield Check.fail("certificate", "check.certificate_files", reason=getattr(error, "reason", None) or error)
        return
    try:
        dates = validity(_peer_certificate(settings, context))
    except ssl.SSLCertVerificationError as error:
        yield _distrusted(settings, error, now)
    except OSError as error:
        reason = getattr(error, "reason", None) or error.strerror or error
        yield Check.fail("certificate", "check.tls_failed", host=settings.host, reason=reason)
    else:
        if dates is not None:
            yield _dated("certificate", dates, now, settings.host)


def _distrusted(settings: Mqtt, error: ssl.SSLCertVerificationError, now: datetime) -> Check:
    """Why the certificate is not accepted; where its dates are the reason, with the date."""
    anyone = ssl.create_default_context()
    anyone.check_hostname = False
    anyone.verify_mode = ssl.CERT_NONE  # only to read the dates; nothing is sent over this connection
    try:
        dates = validity(_peer_certificate(settings, anyone))
    except OSError:
        dates = None
    if dates is not None and not dates.begins <= now <= dates.ends:
        return _dated("certificate", dates, now, settings.host)
    return Check.fail("certificate", "check.certificate_distrusted", host=settings.host, reason=error.verify_message)


def _dated(name: str, dates: Validity, now: datetime, what: object) -> Check:
    found: dict[str, Any] = {"what": what, "begins": f"{dates.begins:%Y-%m-%d}", "ends": f"{dates.ends:%Y-%m-%d}"}
    if now > dates.ends:
        return Check.fail(name, "check.certificate_expired", **found)
    if now < dates.begins:
        return Check.fail(name, "check.certificate_early", **found)
    # A certificate of three months is renewed by the agent a month before its end: it is late when it was not.
    if now > dates.ends - min(_SOON, (dates.ends - dates.begins) / 4):
        return Check.warn(name, "check.certificate_soon", days=(dates.ends - now).days, **found)
    return Check.ok(name, "check.certificate_ok", **found)


def _peer_certificate(settings: Mqtt, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection((settings.host, settings.port), _WAIT_S) as raw,
        context.wrap_socket(raw, server_hostname=settings.host) as wrapped,
    ):
        return wrapped.getpeercert(binary_form=True) or b""


def _local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
