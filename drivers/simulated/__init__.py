"""Simulated terminals, one a protocol: the terminal's end of the line, sans-IO, and the shell that gives them a port."""
