"""`python -m agent` is the command `tillwatch`."""

import sys

from agent.cli import main

sys.exit(main())
