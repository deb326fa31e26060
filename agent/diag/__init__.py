"""`tillwatch diag`: walks from the plug to the host and names what is wrong.

    walk.py     the steps in their order, and who runs them
    plug.py     device, driver, permission, holder, settings, modem lines, loopback
    line.py     what is heard on the line, and what the terminal answers to a harmless question
    machine.py  the terminal itself: clock, paper, restarts, and what the bank says through it
    till.py     the cashier application
    host.py     this PC, the broker, the collector
    verdict.py  from steps to "cable", "terminal", …
    scene.py    what one run may look at, each found out once · traffic.py what passed (pure) · asking.py the question
    garble.py   what wrong settings do to bytes (pure) · kept.py what the last run has found

A step returns `Step` values and prints nothing. Nothing is ever sent but the words of a driver's probe, which move no
money (drivers/driver.py), and, when asked for, a loopback pattern that can be no frame.
"""
