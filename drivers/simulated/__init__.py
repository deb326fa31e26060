"""Simulated terminals, one a protocol, sans-IO; and the shell that gives them a port."""
