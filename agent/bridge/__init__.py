"""The bridge: passes bytes between cashier application and terminal, and knows nothing else.

This package runs in a process of its own that must stay small: no dataclasses, no typing, no argparse at run time.
"""
