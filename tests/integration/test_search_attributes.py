import asyncio

from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from workflows.search_attributes import ALL_KEYS, register


async def test_registering_the_search_attributes_again_and_at_once_changes_nothing(temporal: Client) -> None:
    await asyncio.gather(register(temporal, temporal.namespace), register(temporal, temporal.namespace))
    listed = await temporal.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=temporal.namespace)
    )
    assert {key.name for key in ALL_KEYS} <= set(listed.custom_attributes)
