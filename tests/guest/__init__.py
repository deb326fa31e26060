"""The package under a real systemd, in a virtual machine (`make guest`). Not a part of `make test`.

image.py makes the machine's disk, machine.py runs QEMU with an FTDI cable that can be pulled out, inside.py is what
runs in the machine, __main__.py joins them and prints what was tried. Behind the cable stands a simulated terminal.
"""
