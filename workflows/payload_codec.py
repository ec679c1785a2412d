"""What is personal in Temporal's store is unreadable there: every payload is sealed before it leaves a process.

Workflow ids, search attributes and logs are not sealed by any codec; they hold opaque ids only. This module must never
be imported by a workflow's file: loading `cryptography` there breaks the sandbox's validation.
"""

import hmac
import secrets
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from temporalio.api.common.v1 import Payload
from temporalio.converter import DataConverter, DefaultFailureConverterWithEncodedAttributes, PayloadCodec

from workflows.data_converter import DATA_CONVERTER

ENCODING: Final = b"binary/encrypted"
KEY_ID: Final = "encryption-key-id"
_NONCE_BYTES: Final = 12


class PayloadNotOurs(Exception):  # noqa: N818 -- says what happened
    """A payload was sealed under another deployment secret, or was altered."""


class SealedPayloads(PayloadCodec):
    """AES-256-GCM under a key derived from the deployment's secret; payloads of older secrets are still opened.

    Raises:
        PayloadNotOurs: on opening what none of the secrets has sealed.
    """

    def __init__(self, secret: bytes, *older: bytes) -> None:
        keys = [_derived(each, b"baton payloads") for each in (secret, *older)]
        self._newest = _key_id(keys[0])
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [self._sealed(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        return [
            self._opened(payload) if payload.metadata.get("encoding") == ENCODING else payload for payload in payloads
        ]

    def _sealed(self, payload: Payload) -> Payload:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + self._ciphers[self._newest].encrypt(nonce, payload.SerializeToString(), self._newest)
        return Payload(metadata={"encoding": ENCODING, KEY_ID: self._newest}, data=sealed)

    def _opened(self, payload: Payload) -> Payload:
        key_id = payload.metadata.get(KEY_ID, b"")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise PayloadNotOurs("sealed under a secret that this deployment does not have")
        try:
            plain = cipher.decrypt(payload.data[:_NONCE_BYTES], payload.data[_NONCE_BYTES:], key_id)
        except (InvalidTag, ValueError) as error:
            raise PayloadNotOurs("altered, or cut short") from error
        return Payload.FromString(plain)


def sealed_converter(secret: bytes, *older: bytes) -> DataConverter:
    """The payload form of all processes of a deployment: ours, sealed; also the words of failures."""
    return replace(
        DATA_CONVERTER,
        payload_codec=SealedPayloads(secret, *older),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )


def codec_pass(secret: bytes) -> str:
    """The unguessable part of the codec's address: the Temporal UI's browser has no key to show, but knows this."""
    return _derived(secret, b"baton codec pass")[:16].hex()


def may_decode(secret: bytes, shown: str) -> bool:
    return hmac.compare_digest(codec_pass(secret).encode(), shown.encode())


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)


def _key_id(key: bytes) -> bytes:
    return _derived(key, b"baton key id")[:4].hex().encode()
