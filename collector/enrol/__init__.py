"""Gives agents their identity: the authority (CA), one-time tokens, certificates and their renewal, revocation.

authority.py keys and signatures, no database · desk.py who gets what, in the ledger · door.py the HTTPS door that
agents come to · fleet.py the fleet's configuration.
"""
