"""A profile as a driver like any other."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from drivers.codes import CodeBook, book
from drivers.driver import Decoder, Driver, Framing, Maturity, SimulatedTerminal, Simulation
from drivers.masking import Masker
from drivers.profiles.decoder import ProfileDecoder
from drivers.profiles.load import loaded
from drivers.profiles.schema import Profile, Style
from drivers.queries import Asking


def driver_of(profile: Profile) -> Driver:
    """The driver that a profile describes."""
    call = profile.framing.style is Style.CALL

    def decoder(framing: Framing) -> Decoder:  # noqa: ARG001  a profile knows one framing only
        return ProfileDecoder(profile, code_book(profile))

    def masker(framing: Framing) -> Masker:  # noqa: ARG001
        from drivers.profiles.mask import ProfileMasker  # only those who record need it

        return ProfileMasker(profile)

    def simulated(settings: Simulation) -> SimulatedTerminal:
        from drivers.simulated.profile import SimulatedProfile  # agent and bridge never simulate

        return SimulatedProfile(profile, code_book(profile), settings)

    return Driver(
        name=profile.name,
        title=profile.title,
        maturity=Maturity.EXPERIMENTAL,
        source=f"{profile.provenance} (confidence {profile.confidence}; not certified by the maker)",
        line=profile.line,
        framings=(Framing.NONE if call else Framing.SERIAL,),
        answer_timeout_s=profile.answer_timeout_s,
        delivery_timeout_s=profile.delivery_timeout_s,
        byte_gap_s=profile.byte_gap_s,
        decoder=decoder,
        simulated=simulated,
        masker=masker,
        asking=_asking(profile),
        acknowledged=profile.framing.acknowledged,
        codes=profile.codes_from,
        own_codes=profile.codes,
        silence_ends=call,
        reprints_any=True,  # most take a voucher's number, or ask for one at the terminal
    )


def _asking(profile: Profile) -> Asking | None:
    if profile.question is None:
        return None
    from drivers.profiles.asking import asking_of  # only where a profile has a question

    return asking_of(profile, code_book(profile))


@cache
def code_book(profile: Profile) -> CodeBook:
    """The profile's response codes over the shared table they add to, and the site's over both. Raises CodesError."""
    return book(profile.codes_from or profile.name, profile.codes, profile.name)


@cache
def driver_in(path: Path) -> Driver:
    """The driver of the profile in a file. Raises ProfileError, OSError."""
    return driver_of(loaded(path))
