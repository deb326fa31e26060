"""Run the benches and print a JSON line a figure."""

from __future__ import annotations

import json
import sys

from bench import agent, bridge, collector, confirm, decoders, reconcile

BENCHES = {
    "collector": collector.run,
    "bridge": bridge.run,
    "agent": agent.run,
    "confirm": confirm.run,
    "decoders": decoders.run,
    "reconcile": reconcile.run,
}

for name in sys.argv[1:] or BENCHES:
    for figure in BENCHES[name]():
        print(json.dumps({"bench": name} | figure), flush=True)
