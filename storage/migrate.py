"""Brings the ledger's schema to the newest form and puts in what a fresh installation needs."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import psycopg
from alembic import command
from alembic.config import Config

from storage.ids import new_id

DEFAULT_POOL = "default"
DEFAULT_WRAP_UP_CODES: Mapping[str, str] = {
    "resolved": "Resolved",
    "answered": "Question answered",
    "workaround": "Workaround given",
    "passed_on": "Passed on to another team",
    "no_reply": "Customer did not reply",
    "duplicate": "Duplicate",
    "spam": "Spam",
}


def migration_config(url: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config


def migrate(url: str, bootstrap_keys: Mapping[str, str]) -> None:
    """Upgrade to the newest schema; `bootstrap_keys` maps a role to its plain API key, stored as a digest."""
    command.upgrade(migration_config(url), "head")
    with psycopg.connect(url) as connection:
        connection.execute(
            "insert into pools (name, description) values (%s, 'Everybody') on conflict do nothing", (DEFAULT_POOL,)
        )
        for code, label in DEFAULT_WRAP_UP_CODES.items():
            connection.execute(
                "insert into wrap_up_codes (code, label, active) values (%s, %s, true) on conflict do nothing",
                (code, label),
            )
        for role, key in bootstrap_keys.items():
            connection.execute(
                """
                insert into api_keys (id, role, digest, label, created_at)
                values (%s, %s, %s, 'made at the first start', now()) on conflict (digest) do nothing
                """,
                (new_id("key"), role, key_digest(key)),
            )


def key_digest(key: str) -> bytes:
    """A plain SHA-256 is enough: keys carry 256 random bits, so there is nothing to guess (OWASP ASVS 5.0, 6.5)."""
    return hashlib.sha256(key.encode()).digest()
