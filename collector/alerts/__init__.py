"""Calls people: rules watched over the ledger, one message when something begins and one when it is over."""
