"""What a process is told by its environment; every name starts with `BATON_`."""

import base64
from typing import Annotated, Final

from pydantic import AfterValidator, Field
from pydantic_settings import BaseSettings, SettingsConfigDict

_SHORTEST_SECRET: Final = 32


def _holds_a_key(written: str) -> str:
    try:
        key = base64.b64decode(written, validate=True)
    except ValueError as error:
        raise ValueError("is not base64") from error
    if len(key) < _SHORTEST_SECRET:
        raise ValueError(f"needs at least {_SHORTEST_SECRET} random bytes")
    return written


Secret = Annotated[str, AfterValidator(_holds_a_key)]


class ProcessSettings(BaseSettings):
    """`secret` is base64 of at least 32 random bytes: it signs visitor tokens and seals channel secrets and payloads.

    To change it, move the old one to `older_secrets` (a JSON list): what it sealed is still opened.
    """

    model_config = SettingsConfigDict(env_prefix="BATON_", extra="ignore")

    postgres_url: str
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_ui_url: str = "http://127.0.0.1:8233"
    secret: Secret
    older_secrets: list[Secret] = Field(default_factory=list)
    embedded: bool = False
    api_host: str = "127.0.0.1"
    api_port: int = 8080
    health_port: int | None = None
    bootstrap_keys: dict[str, str] = Field(default_factory=dict)
    model_directory: str = ".baton/models"
    """Where trained models are kept."""

    @property
    def secret_bytes(self) -> bytes:
        return base64.b64decode(self.secret)

    @property
    def older_secret_bytes(self) -> tuple[bytes, ...]:
        return tuple(base64.b64decode(older) for older in self.older_secrets)
