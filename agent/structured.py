"""structlog without rich. structlog loads rich wherever it finds it: 10 MiB in a daemon that prints no colours.

rich is there when the technician's screen is installed (textual brings it), and may still be imported by it afterwards.
"""

import sys

_HIDDEN = "rich"

if _HIDDEN in sys.modules:
    import structlog
else:
    sys.modules[_HIDDEN] = None  # type: ignore[assignment]  # an import of it now says that there is none
    try:
        import structlog
    finally:
        del sys.modules[_HIDDEN]

__all__ = ["structlog"]
