"""What bridge and successor say to each other, when one of them does not get to its end."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator

import pytest

from agent.bridge.takeover import GO, LONGEST, READY, TAKEN, Takeover, Unwanted, channel, give

Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = channel()
    yield made
    for end in made:
        end.close()


def in_thread(bridge: socket.socket, *steps: bytes | dict[str, int]) -> threading.Thread:
    """The bridge's part: a word is awaited or said, descriptors are given; then it is gone."""

    def work() -> None:
        for step in steps:
            if isinstance(step, dict):
                give(bridge, step, {"a": {"waiting": "ff"}})
            elif step == GO:
                bridge.sendall(GO)
            else:
                assert bridge.recv(LONGEST).startswith(step)
        bridge.close()

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_every_descriptor_comes_by_its_name_however_many(ends: Ends) -> None:
    """More than the kernel takes in one message."""
    bridge, ours = ends
    pipes = {f"line{number}": os.memfd_create(f"{number}") for number in range(450)}
    for number, descriptor in enumerate(pipes.values()):
        os.write(descriptor, b"%d" % number)
    part = in_thread(bridge, READY, pipes, TAKEN, GO)
    takeover = Takeover(ours)
    descriptors, state = takeover.receive()
    takeover.confirm()
    part.join()
    assert state == {"a": {"waiting": "ff"}}
    assert list(descriptors) == list(pipes)
    for number, descriptor in enumerate(descriptors.values()):
        assert os.pread(descriptor, 9, 0) == b"%d" % number
        assert not os.get_inheritable(descriptor), "a program that is started later must not hold a line"
        os.close(descriptor)
    for descriptor in pipes.values():
        os.close(descriptor)


@pytest.mark.parametrize("steps", [(), (READY,)], ids=["before it was ready", "instead of giving way"])
def test_a_bridge_that_ends_first_wants_no_successor(ends: Ends, steps: tuple[bytes, ...]) -> None:
    bridge, ours = ends
    part = in_thread(bridge, *steps)
    if not steps:
        part.join()
    with pytest.raises(Unwanted):
        Takeover(ours).receive()
    part.join()


@pytest.mark.parametrize("last", [(TAKEN,), ()], ids=["before it could say go", "before it could listen"])
def test_a_bridge_that_dies_after_it_gave_everything_is_succeeded(ends: Ends, last: tuple[bytes, ...]) -> None:
    bridge, ours = ends
    part = in_thread(bridge, READY, {}, *last)
    takeover = Takeover(ours)
    takeover.receive()
    if not last:
        part.join()
    takeover.confirm()
    part.join()
