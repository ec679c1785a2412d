"""Which URLs of others are called: none that lead into our own network, however they are written."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from channels.outbound import AnswerUnusable, NotAllowed, check_url, fetch_json_text

Answer = Callable[[httpx.Request], httpx.Response]


@pytest.mark.parametrize(
    "url",
    [
        "https://success.example.com/api?x=1",
        "https://8.8.8.8/",
        "http://127.0.0.1:8080/health",
        "http://localhost/health",
        "http://[::1]:81/",
    ],
)
def test_a_public_host_by_https_and_this_machine_are_called(url: str) -> None:
    assert check_url(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://success.example.com/",
        "ftp://success.example.com/",
        "file:///etc/passwd",
        "https://",
        "success.example.com",
        "https://user:password@success.example.com/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://[fe80::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[64:ff9b::a00:1]/",
        "https://[fd00::1]/",
        "https://0.0.0.0/",
        "https://167772161/",
        "https://0x0a000001/",
        "https://10.1/",
        "https://012.0.0.1/",
        "https://224.0.0.1/",
        "http://0x7f000001/",
        "http://2130706433/",
        "https://exa mple.com/",
        "",
    ],
)
def test_nothing_else_is(url: str) -> None:
    with pytest.raises(NotAllowed):
        check_url(url)


@pytest.fixture
async def client() -> AsyncIterator[Callable[[Answer], httpx.AsyncClient]]:
    made: list[httpx.AsyncClient] = []

    def answering(answer: Answer) -> httpx.AsyncClient:
        made.append(httpx.AsyncClient(transport=httpx.MockTransport(answer)))
        return made[-1]

    yield answering
    for one in made:
        await one.aclose()


@pytest.fixture
def leads_to(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets every name lead to these addresses."""

    def lead(*addresses: str) -> None:
        def found(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", found)

    return lead


Fetching = Callable[[Answer], Awaitable[bytes]]


@pytest.fixture
def fetching(client: Callable[[Answer], httpx.AsyncClient]) -> Fetching:
    async def fetch(answer: Answer) -> bytes:
        return await fetch_json_text(client(answer), check_url("https://success.example.com/a?b=1"), {"X-Our": "1"})

    return fetch


async def test_the_connection_goes_to_the_address_that_was_looked_at(
    fetching: Fetching, leads_to: Callable[..., None]
) -> None:
    leads_to("8.8.8.8")
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, content=b"{}")

    assert await fetching(answer) == b"{}"
    (request,) = asked
    assert str(request.url) == "https://8.8.8.8/a?b=1"
    assert request.headers["Host"] == "success.example.com"
    assert request.extensions["sni_hostname"] == "success.example.com"


@pytest.mark.parametrize("addresses", [["10.0.0.1"], ["127.0.0.1"], ["8.8.8.8", "169.254.169.254"], ["::1"]])
async def test_a_name_that_leads_inside_is_not_called(
    fetching: Fetching, leads_to: Callable[..., None], addresses: list[str]
) -> None:
    leads_to(*addresses)
    with pytest.raises(NotAllowed):
        await fetching(lambda _: httpx.Response(200))


async def test_a_local_name_that_leads_away_is_not_called(
    client: Callable[[Answer], httpx.AsyncClient], leads_to: Callable[..., None]
) -> None:
    leads_to("8.8.8.8")
    with pytest.raises(NotAllowed):
        await fetch_json_text(client(lambda _: httpx.Response(200)), check_url("http://localhost/"), {})


@pytest.mark.parametrize("status", [301, 302, 307, 400, 401, 404])
async def test_redirects_and_refusals_are_final(fetching: Fetching, leads_to: Callable[..., None], status: int) -> None:
    leads_to("8.8.8.8")
    with pytest.raises(AnswerUnusable) as unusable:
        await fetching(lambda _: httpx.Response(status, headers={"Location": "https://10.0.0.1/"}))
    assert unusable.value.status == status


@pytest.mark.parametrize("status", [408, 429, 500, 503])
async def test_troubles_of_theirs_may_pass(fetching: Fetching, leads_to: Callable[..., None], status: int) -> None:
    leads_to("8.8.8.8")
    with pytest.raises(httpx.HTTPStatusError):
        await fetching(lambda _: httpx.Response(status))


async def test_an_endless_answer_is_cut_off(
    fetching: Fetching, leads_to: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    leads_to("8.8.8.8")
    monkeypatch.setattr("channels.outbound.LARGEST_ANSWER", 1000)
    with pytest.raises(AnswerUnusable):
        await fetching(lambda _: httpx.Response(200, content=b"x" * 1001))
