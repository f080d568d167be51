"""What Alembic runs: the steps, inside the transaction that `database.migrate` has opened."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
context.run_migrations()
