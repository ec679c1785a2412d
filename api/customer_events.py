"""What customers buy and use, as other systems tell it: one by one, as a list, or as a CSV file."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from api.fields import Body
from api.problems import NotFound
from api.route import BatonRoute, Context
from channels.customer_refs import customer_address
from domain.customers.events import CustomerEventKind, NewCustomerEvent, event_from, events_from_csv
from domain.errors import FieldProblem, InvalidInput, pointer
from storage.ledger.customer_events import AddressedEvent, Imported, import_events
from storage.ledger.customer_lookup import CustomerId, CustomerRef

router = APIRouter(tags=["customers"], route_class=BatonRoute)

MOST_EVENTS: Final = 1000
_EXAMPLE: Final[dict[str, JsonValue]] = {
    "source": "shop",
    "external_id": "order-1042",
    "kind": "purchase",
    "product": "Coffee machine",
    "at": "2026-01-05T09:00:00Z",
    "amount": 249.9,
    "currency": "EUR",
}
_CSV: Final = (
    "customer,source,external_id,kind,product,at,amount,currency,quantity\r\n"
    "email:ada@example.org,shop,order-1042,purchase,Coffee machine,2026-01-05T09:00:00Z,249.90,EUR,1\r\n"
)


class NewEvent(Body):
    """`source` names the system that tells it, `external_id` the event there: together they are one event."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    source: str = Field(max_length=200)
    external_id: str = Field(max_length=200)
    kind: CustomerEventKind
    product: str = Field(max_length=200)
    at: str = Field(max_length=40, description="RFC 3339 with an offset")
    amount: float | None = Field(default=None, allow_inf_nan=False)
    currency: str | None = Field(default=None, max_length=3, description="ISO 4217; comes with an amount")
    quantity: Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)] = 1


class NewEventOf(NewEvent):
    model_config = ConfigDict(json_schema_extra={"examples": [{"customer": "email:ada@example.org", **_EXAMPLE}]})

    customer: str = Field(max_length=400, description='A customer\'s id, or "channel:address" that they have proved')


class EventImport(Body):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"events": [{"customer": "email:ada@example.org", **_EXAMPLE}]}]}
    )

    events: list[NewEventOf] = Field(min_length=1, max_length=MOST_EVENTS)


class KeptEventAnswer(BaseModel):
    customer_id: str = Field(examples=["cus_06b2m4x0a8v3c5d7e9f1g2h3j4"])
    source: str = Field(examples=["shop"])
    external_id: str = Field(examples=["order-1042"])
    kind: CustomerEventKind = Field(examples=["purchase"])
    product: str = Field(examples=["Coffee machine"])
    at: datetime
    known: bool = Field(examples=[False], description="It was there before, and nothing has changed")


class ImportAnswer(BaseModel):
    stored: int = Field(examples=[118])
    known: int = Field(examples=[2], description="There before, or twice in what was sent: they changed nothing")


@router.post("/v1/customers/{id}/events", status_code=201, summary="Tell what a customer bought or used")
async def add_event(id: str, body: NewEvent, context: Context) -> KeptEventAnswer:  # noqa: A002 -- the path's own word
    event = event_from({"customer": id, **body.model_dump(mode="json", exclude_none=True)})
    try:
        kept = await import_events(context.database, [AddressedEvent(event, CustomerId(id), "")])
    except InvalidInput as error:
        raise NotFound("customer") from error
    return KeptEventAnswer(
        customer_id=id,
        source=event.source,
        external_id=event.external_id,
        kind=event.kind,
        product=event.product,
        at=event.at,
        known=kept.known > 0,
    )


@router.post("/v1/customer-events/import", summary="Tell many events; all are kept, or none")
async def import_list(body: EventImport, context: Context) -> ImportAnswer:
    problems: list[FieldProblem] = []
    events: list[NewCustomerEvent] = []
    for position, given in enumerate(body.events):
        try:
            events.append(event_from(given.model_dump(mode="json", exclude_none=True), "events", position))
        except InvalidInput as error:
            problems += error.problems
    if problems:
        raise InvalidInput(*problems)
    return _answer(await _kept(context, events, [pointer("events", position) for position in range(len(events))]))


@router.post(
    "/v1/customer-events/import.csv",
    summary="Tell many events as a CSV file; all are kept, or none",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"text/csv": {"schema": {"type": "string"}, "example": _CSV}},
        }
    },
)
async def import_file(request: Request, context: Context) -> ImportAnswer:
    """UTF-8 with a header. What is wrong is pointed at as /rows/N/column; the header is row 1."""
    rows = events_from_csv(await request.body())
    return _answer(await _kept(context, [row.event for row in rows], [row.pointer for row in rows]))


def addressed(events: Sequence[NewCustomerEvent], pointers: Sequence[str]) -> list[AddressedEvent]:
    """The events with whom they are about; raises `InvalidInput` for what can't name a customer."""
    given: list[AddressedEvent] = []
    problems: list[FieldProblem] = []
    for event, at in zip(events, pointers, strict=True):
        try:
            given.append(AddressedEvent(event, customer_ref(event.customer), at))
        except ValueError as error:
            problems.append(FieldProblem(f"{at}/customer", str(error)))
    if problems:
        raise InvalidInput(*problems[:100])
    return given


def customer_ref(written: str) -> CustomerRef:
    """Raises ValueError."""
    return customer_address(written) or CustomerId(written)


async def _kept(context: Context, events: Sequence[NewCustomerEvent], pointers: Sequence[str]) -> Imported:
    return await import_events(context.database, addressed(events, pointers))


def _answer(kept: Imported) -> ImportAnswer:
    return ImportAnswer(stored=kept.stored, known=kept.known)
