"""Baton's HTTP door as a patient caller uses it: the same call again, under the same key, until it is answered."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Final, TypeVar
from uuid import uuid4

import httpx
import msgspec

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
Shape = TypeVar("Shape")

FIRST_PAUSE: Final = timedelta(milliseconds=100)
LONGEST_PAUSE: Final = timedelta(seconds=3)
STILL_RUNNING: Final = "request_in_progress"


class Refused(Exception):  # noqa: N818 -- said by the other side, nothing failed here
    """A clear answer that asking again would not change; `code` is the problem's own."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code


class _Problem(msgspec.Struct):
    code: str = ""
    detail: str = ""


class Door:
    """One caller with one API key; `http` may be shared and has the base URL."""

    def __init__(self, http: httpx.AsyncClient, key: str, *, first_pause: timedelta = FIRST_PAUSE) -> None:
        self._http = http
        self._authorization = f"Bearer {key}"
        self._first_pause = first_pause

    async def get(self, path: str, shape: type[Shape], parameters: Mapping[str, str | int] | None = None) -> Shape:
        return msgspec.json.decode(await self._answer("GET", path, None, parameters), type=shape)

    async def send(self, method: str, path: str, body: Mapping[str, Json], shape: type[Shape]) -> Shape:
        """Raises `Refused` when the answer is a refusal; whatever may pass is waited out, however long it takes."""
        return msgspec.json.decode(await self._answer(method, path, msgspec.json.encode(body), None), type=shape)

    async def _answer(
        self, method: str, path: str, body: bytes | None, parameters: Mapping[str, str | int] | None
    ) -> bytes:
        headers = {"Authorization": self._authorization}
        if body is not None:
            headers |= {"Content-Type": "application/json", "Idempotency-Key": uuid4().hex}
        pause = self._first_pause
        while True:
            asked_to_wait = timedelta(0)
            try:
                answer = await self._http.request(method, path, content=body, params=parameters, headers=headers)
                if answer.is_success:
                    return answer.content
                problem = _problem(answer)
                if not _may_pass(answer.status_code, problem.code):
                    raise Refused(answer.status_code, problem.code, problem.detail)
                asked_to_wait = _retry_after(answer)
            except httpx.TransportError:
                # Its process may just have been killed; it comes back by itself.
                asked_to_wait = timedelta(0)
            await asyncio.sleep(min(max(pause, asked_to_wait), LONGEST_PAUSE).total_seconds())
            pause = min(pause * 2, LONGEST_PAUSE)


def _may_pass(status: int, code: str) -> bool:
    return (
        status >= httpx.codes.INTERNAL_SERVER_ERROR or status == httpx.codes.TOO_MANY_REQUESTS or code == STILL_RUNNING
    )


def _problem(answer: httpx.Response) -> _Problem:
    try:
        return msgspec.json.decode(answer.content, type=_Problem)
    except msgspec.DecodeError:
        return _Problem(detail=answer.text[:200])


def _retry_after(answer: httpx.Response) -> timedelta:
    written = answer.headers.get("Retry-After", "")
    return timedelta(seconds=int(written)) if written.isdecimal() else timedelta(0)
