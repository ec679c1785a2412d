"""Secrets at rest: passwords and signing keys of channel accounts, encrypted and bound to their row."""

import json
import secrets
from collections.abc import Mapping
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_FORM: Final = b"\x01"
_KEY_ID_BYTES: Final = 4
_NONCE_BYTES: Final = 12
_SHORTEST_SECRET: Final = 16


class BoxNotOurs(Exception):  # noqa: N818 -- says what happened
    """The box was sealed under another deployment secret, for another row, or was altered."""


class SealedBox:
    """AES-256-GCM under a key derived from the deployment's secret.

    The newest secret seals; older ones still open, so that a secret can be changed while the boxes are sealed anew
    one by one.
    """

    def __init__(self, secret: bytes, *older: bytes) -> None:
        keys = [_derived(each) for each in (secret, *older)]
        self._newest = _key_id(keys[0])
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}

    def seal(self, values: Mapping[str, str], owner: str) -> bytes:
        """The named values as one box that only opens for the same `owner` (the id of the row that holds it)."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        plain = json.dumps(dict(values), separators=(",", ":")).encode()
        return _FORM + self._newest + nonce + self._ciphers[self._newest].encrypt(nonce, plain, owner.encode())

    def unseal(self, box: bytes, owner: str) -> dict[str, str]:
        """The values in the box; raises `BoxNotOurs`."""
        head = len(_FORM) + _KEY_ID_BYTES
        cipher = self._ciphers.get(box[len(_FORM) : head])
        if not box.startswith(_FORM) or cipher is None:
            raise BoxNotOurs("sealed under a secret that this deployment does not have")
        nonce, sealed = box[head : head + _NONCE_BYTES], box[head + _NONCE_BYTES :]
        try:
            plain = cipher.decrypt(nonce, sealed, owner.encode())
        except (InvalidTag, ValueError) as error:
            raise BoxNotOurs("altered, or sealed for another owner") from error
        return {str(name): str(value) for name, value in json.loads(plain).items()}


def _derived(secret: bytes) -> bytes:
    if len(secret) < _SHORTEST_SECRET:
        raise ValueError(f"the deployment secret needs at least {_SHORTEST_SECRET} bytes")
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"baton sealed box").derive(secret)


def _key_id(key: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_ID_BYTES, salt=None, info=b"baton key id").derive(key)
