"""The secrets of one data directory: generated once, kept in a file only its owner can read."""

import base64
import secrets
from dataclasses import dataclass

import msgspec

from workers.embedded.directory import DataDirectory, write_private

SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class BootstrapKeys:
    """The first API keys, one for each role a newcomer needs."""

    admin: str
    supervisor: str
    adapter: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the children of one stack share and nobody else knows."""

    postgres_password: str
    secret: str
    keys: BootstrapKeys


def credentials_of(directory: DataDirectory) -> Credentials:
    """The credentials of this data directory, generated at its first use."""
    file = directory.secrets_file
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Credentials)
    fresh = Credentials(
        postgres_password=secrets.token_urlsafe(SECRET_BYTES),
        secret=base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode(),
        keys=BootstrapKeys(admin=_api_key("admin"), supervisor=_api_key("supervisor"), adapter=_api_key("adapter")),
    )
    write_private(file, msgspec.json.encode(fresh))
    return fresh


def _api_key(role: str) -> str:
    return f"bt_{role}_{secrets.token_urlsafe(SECRET_BYTES)}"
