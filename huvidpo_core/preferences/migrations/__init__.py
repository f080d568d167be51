"""How a database of one version becomes one of the next: Alembic's steps, run by `database.migrate`."""
