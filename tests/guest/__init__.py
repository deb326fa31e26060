"""The package under a real systemd, in a virtual machine or a container (`make guest`). Not a part of `make test`.

image.py makes the files and the disk, machine.py runs QEMU with an FTDI cable that can be pulled out, container.py
systemd-nspawn (both are a guest.py), inside.py (with hands.py) is what runs in the guest, __main__.py joins them and
prints what was tried. Behind the cable stands a simulated terminal.
"""
