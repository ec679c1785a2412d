"""The search attributes of Baton's workflows: opaque ids and names of ours only, for no codec encrypts them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError, RPCStatusCode

STATE: Final[SearchAttributeKey[str]] = SearchAttributeKey.for_keyword("BatonState")
POOL: Final[SearchAttributeKey[str]] = SearchAttributeKey.for_keyword("BatonPool")
AGENT: Final[SearchAttributeKey[str]] = SearchAttributeKey.for_keyword("BatonAgent")
SEGMENT: Final[SearchAttributeKey[str]] = SearchAttributeKey.for_keyword("BatonSegment")
INTENT: Final[SearchAttributeKey[str]] = SearchAttributeKey.for_keyword("BatonIntent")
MERGED_INTO: Final[SearchAttributeKey[str]] = SearchAttributeKey.for_keyword("BatonMergedInto")
CHANNELS: Final[SearchAttributeKey[Sequence[str]]] = SearchAttributeKey.for_keyword_list("BatonChannels")
PRIORITY: Final[SearchAttributeKey[int]] = SearchAttributeKey.for_int("BatonPriority")
SLA_DUE_AT: Final[SearchAttributeKey[datetime]] = SearchAttributeKey.for_datetime("BatonSlaDueAt")

TEXT_KEYS: Final = (STATE, POOL, AGENT, SEGMENT, INTENT, MERGED_INTO)
ALL_KEYS: Final = (*TEXT_KEYS, CHANNELS, PRIORITY, SLA_DUE_AT)


async def register(client: Client, namespace: str) -> None:
    """Make the server know every key; repeating it, also from several processes at once, changes nothing."""
    listed = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
    missing = {key.name: key.indexed_value_type for key in ALL_KEYS if key.name not in listed.custom_attributes}
    if not missing:
        return
    request = AddSearchAttributesRequest(namespace=namespace)
    for name, value_type in missing.items():
        request.search_attributes[name] = IndexedValueType.ValueType(value_type.value)
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
