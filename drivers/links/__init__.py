"""Links to devices: open, reopen, identify; nothing else. The only importers of pyserial, sockets and ptys."""
