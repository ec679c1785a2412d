"""Customers and the addresses they are known by, as an admin keeps them."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, JsonValue

from api.cursors import Page, Pages
from api.fields import Answer, Body, Flag, Language, Name, Segment, TimeZone, Weekly, check_weekly, left_out
from api.listing import listed
from api.problems import Conflict, NotFound
from api.route import BatonRoute, Records
from channels.addresses import normal_address
from domain.channels import Channel
from domain.errors import FieldProblem, InvalidInput, pointer
from domain.identity.addresses import NotAnAddress
from storage.ids import new_id
from storage.records.customers import customers_after, identities_of, suggest_others
from storage.records.writing import Taken, write
from storage.tables import Customer, Identity
from storage.tables.columns import utc_now

router = APIRouter(prefix="/v1/customers", tags=["customers"], route_class=BatonRoute)

Languages = Annotated[list[Language], Field(max_length=20)]
Channels = Annotated[list[Channel], Field(max_length=len(Channel))]
Attributes = Annotated[dict[Name, JsonValue], Field(max_length=100)]
Value = Annotated[Decimal, Field(ge=0, le=10**12, decimal_places=2)]

_TYPED: Final[tuple[str, ...]] = ("lifetime_value", "renewal_on")
"""Fields that have no type of their own in JSON."""


class NewIdentity(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"channel": "email", "address": "ada@example.org", "verified": True}]}
    )

    channel: Channel
    address: Annotated[str, Field(min_length=1, max_length=320)]
    verified: Flag = False
    display_name: Name | None = None


class NewCustomer(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "display_name": "Ada Marsh",
                    "segment": "gold",
                    "languages": ["en"],
                    "identities": [{"channel": "email", "address": "ada@example.org", "verified": True}],
                }
            ]
        }
    )

    display_name: Name
    segment: Segment = "standard"
    time_zone: TimeZone | None = None
    languages: Languages = Field(default_factory=list)
    preferred_channels: Channels = Field(default_factory=list)
    preferred_hours: Weekly | None = None
    attributes: Attributes = Field(default_factory=dict)
    lifetime_value: Value | None = None
    contract: Name | None = None
    renewal_on: date | None = None
    identities: Annotated[list[NewIdentity], Field(max_length=50)] = Field(default_factory=list)


class CustomerChange(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"segment": "platinum", "time_zone": "Europe/Paris"}]})

    display_name: Name = left_out()
    segment: Segment = left_out()
    time_zone: TimeZone | None = left_out()
    languages: Languages = left_out()
    preferred_channels: Channels = left_out()
    preferred_hours: Weekly | None = left_out()
    attributes: Attributes = left_out()
    lifetime_value: Value | None = left_out()
    contract: Name | None = left_out()
    renewal_on: date | None = left_out()


class IdentityAnswer(Answer):
    id: str = Field(examples=["idn_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    kind: str = Field(examples=["email"])
    address: str = Field(examples=["ada@example.org"], description="In the normal form it is found by")
    verified: bool = Field(examples=[True])
    display_name: str | None = Field(examples=[None])
    created_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])


class CustomerAnswer(Answer):
    id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    display_name: str = Field(examples=["Ada Marsh"])
    segment: str = Field(examples=["gold"])
    time_zone: str | None = Field(examples=["Europe/Paris"])
    languages: list[str] = Field(examples=[["en"]])
    preferred_channels: list[str] = Field(examples=[["email"]])
    preferred_hours: dict[str, JsonValue] | None = Field(examples=[{"mon": [["09:00", "17:00"]]}])
    attributes: dict[str, JsonValue] = Field(examples=[{"plan": "team"}])
    lifetime_value: float | None = Field(examples=[12400.0])
    contract: str | None = Field(examples=["Enterprise, 3 years"])
    renewal_on: date | None = Field(examples=["2027-01-31"])
    health_score: float | None = Field(examples=[0.42], description="0 (about to leave) to 1")
    health_at: datetime | None = Field(examples=["2026-01-05T09:00:00Z"])
    merged_into: str | None = Field(examples=[None], description="The customer this one was linked with")
    created_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])
    updated_at: datetime = Field(examples=["2026-01-05T09:00:00Z"])
    identities: list[IdentityAnswer] = Field(default_factory=list)


@router.get("", summary="All customers, or the ones an address belongs to")
async def customers(
    records: Records,
    pages: Pages,
    address: Annotated[str | None, Query(max_length=320, description="An address in its normal form")] = None,
) -> Page[CustomerAnswer]:
    async def rows(after: str | None, limit: int) -> Sequence[Customer]:
        return await customers_after(records, address, after, limit)

    page = await listed(pages, f"customers {address}", rows, lambda row: row.id, _without_identities)
    identities = await identities_of(records, [customer.id for customer in page.data])
    for customer in page.data:
        customer.identities = [IdentityAnswer.model_validate(row) for row in identities.get(customer.id, [])]
    return page


@router.post("", status_code=201, summary="Add a customer with the addresses they are known by")
async def add_customer(body: NewCustomer, records: Records) -> CustomerAnswer:
    if body.preferred_hours is not None:
        check_weekly("preferred_hours", body.time_zone or "UTC", body.preferred_hours)
    typed: dict[str, Decimal | date | None] = {name: getattr(body, name) for name in _TYPED}
    customer = Customer(id=new_id("cus"), **{**body.model_dump(mode="json", exclude={"identities"}), **typed})
    identities = [
        _identity(customer.id, identity, "identities", position) for position, identity in enumerate(body.identities)
    ]
    await write(records, customer)
    await _write_identities(records, identities)
    await suggest_others(records, customer.id)
    return _customer_answer(customer, identities)


@router.get("/{id}", summary="One customer")
async def customer(id: str, records: Records) -> CustomerAnswer:  # noqa: A002 -- the path's own word
    row = await _known(records, id)
    return _customer_answer(row, (await identities_of(records, [id])).get(id, []))


@router.patch("/{id}", summary="Change what is known of a customer")
async def change_customer(id: str, body: CustomerChange, records: Records) -> CustomerAnswer:  # noqa: A002 -- as above
    row = await _own(records, id)
    changes = body.sent()
    if changes.get("preferred_hours") is not None:
        check_weekly("preferred_hours", "UTC", body.preferred_hours or {})
    typed = {name: getattr(body, name) for name in _TYPED if name in changes}
    row.sqlmodel_update({**changes, **typed, "updated_at": utc_now()})
    await write(records, row)
    await suggest_others(records, id)
    return _customer_answer(row, (await identities_of(records, [id])).get(id, []))


@router.post("/{id}/identities", status_code=201, summary="Add an address to a customer")
async def add_identity(id: str, body: NewIdentity, records: Records) -> IdentityAnswer:  # noqa: A002 -- as above
    await _own(records, id)
    identity = _identity(id, body)
    await _write_identities(records, [identity])
    await suggest_others(records, id)
    return IdentityAnswer.model_validate(identity)


async def _known(records: Records, customer_id: str) -> Customer:
    row = await records.get(Customer, customer_id)
    if row is None:
        raise NotFound("customer")
    return row


async def _own(records: Records, customer_id: str) -> Customer:
    """The customer, locked; nothing is added to one who was linked away, for nobody would look there."""
    row = await records.get(Customer, customer_id, with_for_update={"key_share": True})
    if row is None:
        raise NotFound("customer")
    if row.merged_into is not None:
        raise Conflict("linked_away", f"this customer is {row.merged_into} now")
    return row


def _identity(customer_id: str, given: NewIdentity, *at: str | int) -> Identity:
    try:
        address = normal_address(given.channel, given.address)
    except NotAnAddress as error:
        raise InvalidInput(FieldProblem(pointer(*at, "address"), error.reason)) from error
    return Identity(
        id=new_id("idn"),
        customer_id=customer_id,
        kind=address.kind.value,
        address=address.value,
        verified=given.verified,
        display_name=given.display_name,
    )


async def _write_identities(records: Records, identities: list[Identity]) -> None:
    try:
        await write(records, *identities)
    except Taken as error:
        raise Conflict("already_exists", "an address belongs to a customer already") from error


def _customer_answer(customer: Customer, identities: Sequence[Identity]) -> CustomerAnswer:
    answer = _without_identities(customer)
    answer.identities = [IdentityAnswer.model_validate(identity) for identity in identities]
    return answer


def _without_identities(customer: Customer) -> CustomerAnswer:
    return CustomerAnswer.model_validate(customer)
