"""Run by Alembic for each command; the connection and its transaction are those of `upgrade`."""

from alembic import context

from collector.ledger.metadata import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
