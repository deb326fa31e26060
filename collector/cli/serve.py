"""`tillwatch collector`: the service."""

from __future__ import annotations

import argparse

from agent import log
from collector.access.roles import Role
from collector.cli import configuration
from collector.daemon import Daemon
from collector.errors import CollectorUsageError
from collector.web.settings import check_guest


def run(args: argparse.Namespace) -> int:
    """Run until SIGTERM or Ctrl-C."""
    config = configuration(args)
    guest = None
    if args.guest is not None:
        if args.guest not in list(Role):
            raise CollectorUsageError("collector.no_role", found=args.guest, roles=", ".join(Role))
        guest = Role(args.guest)
    check_guest(guest, config.web.listen[0])
    log.configure(config.log.level, config.log.format)
    return Daemon(config, guest).run()
