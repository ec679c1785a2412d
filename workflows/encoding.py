"""How values of the domain are written as JSON: by msgspec, which knows frozen dataclasses, instants and enums.

A value of a union of dataclasses goes as `Tagged`: the dataclass' name and its fields.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeVar, get_args

import msgspec

from domain.conversation import commands

Value = TypeVar("Value")

_COMMAND_KINDS: Final = {kind.__name__: kind for kind in get_args(commands.Command)}


@dataclass(frozen=True, slots=True)
class Tagged:
    kind: str
    body: msgspec.Raw


def tagged(value: object) -> Tagged:
    return Tagged(type(value).__name__, msgspec.Raw(msgspec.json.encode(value)))


def command(written: Tagged) -> commands.Command:
    """Read a command that `tagged` wrote.

    Raises:
        KeyError: no such command.
        msgspec.ValidationError: the fields do not fit.
    """
    read: commands.Command = msgspec.json.decode(written.body, type=_COMMAND_KINDS[written.kind])
    return read


def encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def decode(written: bytes | str, kind: type[Value]) -> Value:
    return msgspec.json.decode(written, type=kind)


def decode_hinted(written: bytes, hint: Any) -> Any:
    return msgspec.json.decode(written, type=hint)
