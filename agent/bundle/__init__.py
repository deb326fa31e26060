"""The support bundle: one ZIP that says how this PC fares, without a secret and without a card number.

    build.py      all parts in their order, and what was left out
    settings.py   the configuration, by a list of keys that may leave the PC
    machine.py    versions, platform, states, checks, logs
    past.py       the journal of the last days, and the lines' last minutes
    scan.py       looks through everything for card numbers and keys (pure)
    pack.py       manifest and file, whole or not at all

A part returns `Part` or `Missing` and never raises: a bundle is asked for when things are broken.
"""
