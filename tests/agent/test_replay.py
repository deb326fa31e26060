"""What came against what was recorded: named where it differs, at a cost that grows with the recording only."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.replay import Difference, Replay
from agent.tlog import Header, Sent, Tlog
from drivers.concert import DRIVER
from drivers.driver import Framing
from drivers.observations import Direction

ENQ, ACK, NAK, EOT = b"\x05", b"\x06", b"\x15", b"\x04"
WORDS = st.lists(st.sampled_from([ENQ, ACK, NAK, EOT]), max_size=60)


class NoLink:
    def fileno(self) -> int:
        raise AssertionError("nothing is played here")


def compared(recorded: list[bytes], came: list[bytes]) -> list[Difference]:
    def played(words: list[bytes]) -> Replay:
        log = Tlog(
            Header(protocol="concert"), tuple(Sent(at, Direction.TERMINAL, word) for at, word in enumerate(words))
        )
        return Replay(log, DRIVER, Framing.SERIAL, Direction.CASHIER, NoLink(), 0)

    play = played(recorded)
    play._came = played(came)._recorded
    return play.differences()


def shape(found: list[Difference]) -> list[tuple[float, bool, bool]]:
    return [(each.at, each.recorded is not None, each.came is not None) for each in found]


def test_what_is_missing_new_or_other() -> None:
    said = [ENQ, ACK, ENQ, EOT, NAK, ACK, EOT, EOT, ENQ]
    assert compared(said, said) == []
    assert shape(compared(said, [*said[:4], *said[5:]])) == [(4, True, False)]
    assert shape(compared(said, [*said[:4], ACK, *said[4:]])) == [(4, False, True)]
    assert shape(compared(said, [*said[:4], EOT, *said[5:]])) == [(4, True, True)]
    assert shape(compared(said, said[:-2])) == [(7, True, False), (8, True, False)]


@given(WORDS, WORDS)
def test_nothing_is_left_out_or_told_twice(recorded: list[bytes], came: list[bytes]) -> None:
    found = compared(recorded, came)
    alike = len(recorded) - sum(each.recorded is not None for each in found)
    assert alike == len(came) - sum(each.came is not None for each in found)
    assert (found == []) == (recorded == came)


def test_frames_that_all_differ_are_compared_each_with_its_own() -> None:
    """The worst case: nothing goes on together anywhere."""
    assert len(compared([ENQ] * 2_000, [EOT] * 2_000)) == 2_000
