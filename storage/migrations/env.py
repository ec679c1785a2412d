"""Alembic's entry: offline generation is not offered, a migration always runs against a real database."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlmodel import SQLModel

import storage.tables  # noqa: F401 -- declares the tables on SQLModel.metadata

LOCK_TIMEOUT = "5s"
ONE_AT_A_TIME = 0x6261746F6E  # "baton": the advisory lock under which migrations run

url = context.config.get_main_option("sqlalchemy.url")
if url is None:
    raise RuntimeError("a migration needs a database URL")
engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://", 1))
with engine.connect() as connection:
    connection.execute(text(f"select pg_advisory_lock({ONE_AT_A_TIME})"))
    connection.execute(text(f"set lock_timeout = '{LOCK_TIMEOUT}'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=SQLModel.metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
