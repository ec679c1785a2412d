"""The payload form shared by the API, the relay and the workers: plain JSON, written and read by msgspec.

Several times cheaper than the default encoder on our frozen dataclasses, and it keeps what that one loses: durations,
tuples, enums.
"""

from dataclasses import replace
from typing import Any, Final

import msgspec
import temporalio.api.common.v1
from temporalio.converter import (
    BinaryNullPayloadConverter,
    BinaryPlainPayloadConverter,
    BinaryProtoPayloadConverter,
    CompositePayloadConverter,
    DataConverter,
    EncodingPayloadConverter,
    JSONProtoPayloadConverter,
)

from workflows.encoding import decode_hinted, encode


class JsonPayloads(EncodingPayloadConverter):
    @property
    def encoding(self) -> str:
        return "json/plain"

    def to_payload(self, value: Any) -> temporalio.api.common.v1.Payload | None:
        try:
            data = encode(value)
        except TypeError:
            return None
        return temporalio.api.common.v1.Payload(metadata={"encoding": self.encoding.encode()}, data=data)

    def from_payload(
        self,
        payload: temporalio.api.common.v1.Payload,
        type_hint: type | None = None,
    ) -> Any:
        try:
            return decode_hinted(payload.data, Any if type_hint is None else type_hint)
        except msgspec.MsgspecError as error:
            raise RuntimeError(f"a payload does not fit {type_hint}: {error}") from error


class BatonPayloads(CompositePayloadConverter):
    def __init__(self) -> None:
        super().__init__(
            BinaryNullPayloadConverter(),
            BinaryPlainPayloadConverter(),
            JSONProtoPayloadConverter(),
            BinaryProtoPayloadConverter(),
            JsonPayloads(),
        )


DATA_CONVERTER: Final = replace(DataConverter.default, payload_converter_class=BatonPayloads)
