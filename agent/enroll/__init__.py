"""How this PC gets, keeps and renews its identity: a key that never leaves it, and a certificate of the collector's.

token.py the one-time token · identity.py the files · keys.py key and request, by the openssl program · door.py the
collector's door for agents · enrol.py the first time · renewal.py afterwards · settings.py what the configuration gets.
"""
