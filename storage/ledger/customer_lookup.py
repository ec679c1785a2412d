"""Who other systems mean: a customer's id, also one that was linked away, or an address the customer has proved."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from domain.identity.addresses import NormalAddress
from storage.database import LedgerConnection
from storage.ledger.linking import ROOT

_MOST_RACES: Final = 50

_BY_ADDRESS: Final = """
select asked.kind, asked.address, i.customer_id
from unnest(%s::text[], %s::text[]) as asked(kind, address)
join identities i on i.kind = asked.kind and i.address = asked.address and i.verified
"""
_HOLD: Final = "select id, merged_into from customers where id = any(%s) order by id for share"


@dataclass(frozen=True, slots=True)
class CustomerId:
    value: str


CustomerRef = CustomerId | NormalAddress
"""An address finds only who has proved it: a hint is nobody."""


async def held_customers(connection: LedgerConnection, refs: Collection[CustomerRef]) -> dict[CustomerRef, str]:
    """The ids of those that are known, held until the transaction ends so that nobody links them away."""
    for _ in range(_MOST_RACES):
        found = await _found(connection, refs)
        rows = await (await connection.execute(_HOLD, (sorted(set(found.values())),))).fetchall()
        if all(merged_into is None for _, merged_into in rows):
            return found
    raise RuntimeError(f"lost {_MOST_RACES} races for some customers")


async def _found(connection: LedgerConnection, refs: Collection[CustomerRef]) -> dict[CustomerRef, str]:
    ids = sorted({ref.value for ref in refs if isinstance(ref, CustomerId)})
    addresses = sorted({(ref.kind.value, ref.value) for ref in refs if isinstance(ref, NormalAddress)})
    by_id: dict[str, str] = {}
    by_address: dict[tuple[str, str], str] = {}
    if ids:
        rows = await (await connection.execute(ROOT, (ids,))).fetchall()
        by_id = {str(asked): str(root) for asked, root in rows}
    if addresses:
        cursor = await connection.execute(
            _BY_ADDRESS, ([kind for kind, _ in addresses], [address for _, address in addresses])
        )
        by_address = {(str(kind), str(address)): str(owner) for kind, address, owner in await cursor.fetchall()}
    found: dict[CustomerRef, str] = {}
    for ref in refs:
        owner = by_id.get(ref.value) if isinstance(ref, CustomerId) else by_address.get((ref.kind.value, ref.value))
        if owner is not None:
            found[ref] = owner
    return found
