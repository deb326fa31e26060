"""Rules between keys: what can't be true together. Each names the key to blame and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.phrase import Phrase, phrase

if TYPE_CHECKING:
    from agent.config import Terminal

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rule:
    """`broken` says why the values can't stand together, or None; it is asked when all of `needs` are known."""

    blames: str
    needs: frozenset[str]
    broken: Callable[[Values], Phrase | None]


def _rule(blames: str, *needs: str) -> Callable[[Callable[[Values], Phrase | None]], Rule]:
    return lambda broken: Rule(blames, frozenset(needs), broken)


@_rule("quiet", "quiet_s", "give_up_after_s")
def _quiet_within_give_up(values: Values) -> Phrase | None:
    return phrase("config.quiet_too_long") if values["quiet_s"] > values["give_up_after_s"] else None


@_rule("first_delay", "first_delay_s", "max_delay_s")
def _first_within_longest(values: Values) -> Phrase | None:
    return phrase("config.first_delay_too_long") if values["first_delay_s"] > values["max_delay_s"] else None


@_rule("baudrate", "baudrate", "cashier", "device")
def _follow_needs_pty(values: Values) -> Phrase | None:
    # Only a virtual port shows what speed its other end has chosen, and only a serial device takes one.
    possible = values["cashier"].scheme == "pty" and values["device"].scheme == "serial"
    return None if possible or values["baudrate"] != "follow" else phrase("config.follow_needs_pty")


@_rule("cashier", "cashier", "device")
def _two_ends(values: Values) -> Phrase | None:
    same = values["cashier"].identity == values["device"].identity
    return phrase("config.same_port", port=values["device"].text) if same else None


@_rule("cashier", "cashier", "device")
def _files_go_together(values: Values) -> Phrase | None:
    # What stands in an application's files is for its DLL, and what a terminal says is for no file.
    cashier, device = values["cashier"].scheme, values["device"].scheme
    fits = cashier in ("file", "none") if device == "file" else cashier != "file"
    return None if fits else phrase("config.files_go_together", cashier=values["cashier"].text)


@_rule("framing", "framing", "protocol")
def _framing_of_protocol(values: Values) -> Phrase | None:
    from drivers import registry
    from drivers.detection import AUTO

    if values["framing"] == "auto" or values["protocol"] == AUTO:
        return None
    known = [str(framing) for framing in registry.get(values["protocol"]).framings]
    if values["framing"] in known:
        return None
    return phrase("config.no_framing", found=values["framing"], protocol=values["protocol"], known=", ".join(known))


@_rule("password_file", "password_file", "username")
def _password_has_user(values: Values) -> Phrase | None:
    alone = values["password_file"] is not None and values["username"] is None
    return phrase("config.password_without_user") if alone else None


@_rule("cert_file", "cert_file", "key_file")
def _certificate_has_key(values: Values) -> Phrase | None:
    alone = values["cert_file"] is not None and values["key_file"] is None
    return phrase("config.certificate_without_key") if alone else None


@_rule("key_file", "cert_file", "key_file")
def _key_has_certificate(values: Values) -> Phrase | None:
    alone = values["key_file"] is not None and values["cert_file"] is None
    return phrase("config.key_without_certificate") if alone else None


@_rule("url", "url", "ca_file", "cert_file")
def _certificates_need_tls(values: Values) -> Phrase | None:
    plain = not values["url"].tls and (values["ca_file"] is not None or values["cert_file"] is not None)
    return phrase("config.certificates_need_tls") if plain else None


@_rule("keepalive", "keepalive_s")
def _keepalive_fits(values: Values) -> Phrase | None:
    # MQTT carries whole seconds in 16 bits; 0 would switch it off.
    return None if 1 <= values["keepalive_s"] <= 65535 else phrase("config.keepalive_range")


CONFIRM = (_quiet_within_give_up, _first_within_longest)
TERMINAL = (_follow_needs_pty, _two_ends, _files_go_together, _framing_of_protocol)
MQTT = (_password_has_user, _certificate_has_key, _key_has_certificate, _certificates_need_tls, _keepalive_fits)


def between(terminals: Sequence[Terminal]) -> Iterator[tuple[int, str, Phrase]]:
    """What two terminals can't share: (which terminal, key to blame, why)."""
    names: dict[str, str] = {}
    ports: dict[str, str] = {}
    for index, terminal in enumerate(terminals):
        if terminal.name in names:
            yield index, "name", phrase("config.same_name", name=terminal.name)
        names[terminal.name] = terminal.name
        for key, port in (("device", terminal.device), ("cashier", terminal.cashier)):
            if port.scheme == "none":
                continue
            owner = ports.setdefault(port.identity, terminal.name)
            if owner != terminal.name:
                yield index, key, phrase("config.port_taken", port=port.text, owner=owner)
