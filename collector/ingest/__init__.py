"""From the broker into the ledger: each event once, none dropped, acknowledged when it is on the disk."""
