"""A terminal that nobody described: the agent listens, knows it after its first payment, and asks only then."""

from __future__ import annotations

import json

from tests.waits import until
from tests.whole.cashiers import pay_zvt_serial
from tests.whole.stand import Stand


def test_a_payment_tells_the_protocol_and_the_next_doubt_is_asked_about(stand: Stand) -> None:
    device = stand.simulate("zvt", "--think", "0.1", "--scenario", "approve,lost")
    stand.terminal("pos1", "auto", device, more='[terminal.confirm]\nfirst_delay = "0.2s"\nquiet = "0.2s"\n')
    with stand.subscriber() as subscriber:
        stand.start_agent()
        assert pay_zvt_serial(stand.port(), 3550)
        done = subscriber.await_type("transaction.completed")[0]["data"]
        named = [event["data"] for event in subscriber.await_type("terminal.connected", 2)]
        shown = json.loads(stand.tillwatch("status", "--json").stdout)
        assert not pay_zvt_serial(stand.port(), 800, patience_s=1)
        known = subscriber.await_type("transaction.confirmed")[0]["data"]
    assert (done["outcome"], done["amount"], done["delivered"]) == ("approved", 3550, "yes")
    assert [data["protocol"] for data in named] == ["auto", "zvt"]
    assert named[1]["reason"] == "protocol_detected"
    assert '"protocol": "auto → zvt"' in json.dumps(shown, ensure_ascii=False)
    assert (known["outcome"], known["amount"], known["how"]) == ("approved", 800, "repeat_receipt")
    assert stand.stop_agent() == 0
    before = stand.log.count('"agent.ready"')
    stand.start_agent()
    until(lambda: stand.log.count('"agent.ready"') > before)
    assert '"protocol": "auto → zvt"' in json.dumps(
        json.loads(stand.tillwatch("status", "--json").stdout), ensure_ascii=False
    )
