"""Opens sealed payloads for the Temporal UI, so that ops can read why a conversation waits.

The UI's browser calls this from another origin and has no key of ours: the address itself carries a pass, known to who
configured the UI. Whoever holds it reads facts and ids of conversations, never their messages, which are not in
Temporal.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response
from google.protobuf import json_format
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints
from temporalio.api.common.v1 import Payload

from api.fields import Body
from api.problems import BadRequest, NotFound
from api.route import BatonRoute, Context
from workflows.payload_codec import PayloadNotOurs, SealedPayloads, may_decode

codec = APIRouter(prefix="/v1/codec/{codec_pass}", tags=["ops"], route_class=BatonRoute)
preflight = APIRouter(prefix="/v1/codec/{codec_pass}", include_in_schema=False)

_FOR_ANY_PAGE: Final = {"Access-Control-Allow-Origin": "*", "Cross-Origin-Resource-Policy": "cross-origin"}
"""The UI is served under whatever name ops give it; the pass is the secret, not the page that knows it."""
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Namespace",
    "Access-Control-Max-Age": "600",
}
_Base64 = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/_-]*={0,2}$")]
_EXAMPLE: Final[dict[str, JsonValue]] = {
    "payloads": [{"metadata": {"encoding": "anNvbi9wbGFpbg=="}, "data": "ImhlbGxvIg=="}]
}


class WirePayload(Body):
    """A payload in Temporal's own JSON form: values are base64."""

    model_config = ConfigDict(extra="ignore")

    metadata: Annotated[dict[str, _Base64], Field(max_length=20)] = Field(default_factory=dict)
    data: _Base64 = ""


class WirePayloads(Body):
    model_config = ConfigDict(extra="ignore", json_schema_extra={"examples": [_EXAMPLE]})

    payloads: Annotated[list[WirePayload], Field(max_length=10_000)]


class WireAnswer(BaseModel):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    payloads: list[WirePayload]


def _secret(codec_pass: str, context: Context) -> bytes:
    if not may_decode(context.secret, codec_pass):
        raise NotFound
    return context.secret


Secret = Annotated[bytes, Depends(_secret)]


@codec.post("/decode", summary="Open payloads, for the Temporal UI")
async def decode(body: WirePayloads, secret: Secret, context: Context, response: Response) -> WireAnswer:
    response.headers.update(_FOR_ANY_PAGE)
    try:
        return _written(await SealedPayloads(secret, *context.older_secrets).decode(_read(body)))
    except PayloadNotOurs as error:
        raise BadRequest("payload_not_ours", str(error)) from error


@codec.post("/encode", summary="Seal payloads, for Temporal's command line")
async def encode(body: WirePayloads, secret: Secret, context: Context, response: Response) -> WireAnswer:
    response.headers.update(_FOR_ANY_PAGE)
    return _written(await SealedPayloads(secret, *context.older_secrets).encode(_read(body)))


@preflight.options("/{operation}", status_code=204)
async def allow_temporal_ui(codec_pass: str, operation: str) -> Response:
    """What the browser asks before it lets the Temporal UI call us."""
    del codec_pass, operation
    return Response(status_code=204, headers={**_FOR_ANY_PAGE, **_PREFLIGHT})


def _read(body: WirePayloads) -> list[Payload]:
    try:
        return [json_format.ParseDict(payload.model_dump(), Payload()) for payload in body.payloads]
    except json_format.ParseError as error:
        raise BadRequest("malformed_request", "a payload is not in Temporal's JSON form") from error


def _written(payloads: list[Payload]) -> WireAnswer:
    return WireAnswer.model_validate({"payloads": [json_format.MessageToDict(payload) for payload in payloads]})


router = APIRouter()
router.include_router(codec)
router.include_router(preflight)
