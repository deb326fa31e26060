"""`python -m tests.fuzz BYTES [SEED [NAME …]]`: garbage through every decoder; what `make fuzz` runs."""

from __future__ import annotations

import sys

from tests.fuzz.run import main

sys.exit(main(sys.argv[1:]))
