"""Calls to addresses that somebody else has named: nowhere inside our own network.

An admin's URL, and all the more one that an answer names, may point at a metadata service or a database of ours. So the
name is resolved here, every address it has must be a public one, and the connection goes to an address that was
looked at: a second look by the HTTP library could get another answer. Redirects are not followed. The one exception
is a loopback address written as such, for systems beside us. OWASP API Security Top 10 2023, API7.
"""

import asyncio
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Final

import httpx

LARGEST_ANSWER: Final = 8 * 1024 * 1024

_SCHEMES: Final = {"http": 80, "https": 443}
_OK: Final = 200
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9._-]{0,251}[a-z0-9])?")
_NAT64: Final = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in another coat

Address = IPv4Address | IPv6Address


class NotAllowed(ValueError):  # noqa: N818 -- says what is wrong
    """This URL is not called."""


class AnswerUnusable(Exception):  # noqa: N818 -- says what is wrong
    """The other side answered with something that asking again does not change; `status` is 0 without one."""

    def __init__(self, reason: str, status: int = 0) -> None:
        super().__init__(reason)
        self.status = status


@dataclass(frozen=True, slots=True)
class CheckedUrl:
    """A URL whose form is allowed; where its name leads is looked at when it is called."""

    url: str
    scheme: str
    host: str
    port: int

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def is_loopback(self) -> bool:
        """Whether the host is written as this machine; a name that merely leads here is not."""
        return self.host == "localhost" or _literal_loopback(self.host)


def check_url(url: str) -> CheckedUrl:
    """Read a URL: https, or http to this machine, without a user and a password.

    Raises:
        NotAllowed: it is none of these.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError, UnicodeError) as error:
        raise NotAllowed("this is not a URL") from error
    host = parsed.raw_host.decode("ascii").rstrip(".").lower()
    if parsed.scheme not in _SCHEMES or not (_NAME.fullmatch(host) or _literal(host)):
        raise NotAllowed("a URL begins with https:// and has a host")
    if parsed.userinfo:
        raise NotAllowed("a URL holds no user and no password")
    checked = CheckedUrl(str(parsed), parsed.scheme, host, parsed.port or _SCHEMES[parsed.scheme])
    if checked.scheme == "http" and not checked.is_loopback:
        raise NotAllowed("http only to this machine; everybody else by https")
    literal = _literal(host)
    if literal is not None and not checked.is_loopback and not _is_public(literal):
        raise NotAllowed("this address is inside a private network")
    return checked


async def fetch_json_text(client: httpx.AsyncClient, checked: CheckedUrl, headers: Mapping[str, str]) -> bytes:
    """The body of a 200 answer, `LARGEST_ANSWER` bytes at most.

    Raises:
        NotAllowed: the name leads into a private network.
        AnswerUnusable: a redirect, an error of ours, or too long an answer: asking again does not help.
        httpx.HTTPError: no answer, or an error of theirs: asking again may help.
    """
    address = await _reachable(checked)
    url = httpx.URL(checked.url)
    request = client.build_request(
        "GET",
        url.copy_with(host=str(address)),
        headers={**headers, "Host": url.netloc.decode("ascii"), "Accept": "application/json"},
        extensions={"sni_hostname": checked.host},
    )
    answer = await client.send(request, stream=True, follow_redirects=False)
    try:
        if answer.is_server_error or answer.status_code in {httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT}:
            answer.raise_for_status()
        if answer.status_code != _OK:
            raise AnswerUnusable(f"answered with status {answer.status_code}", answer.status_code)
        body = bytearray()
        async for chunk in answer.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise AnswerUnusable(f"the answer is longer than {LARGEST_ANSWER} bytes", answer.status_code)
        return bytes(body)
    finally:
        await answer.aclose()


async def _reachable(checked: CheckedUrl) -> Address:
    """An address of the host that may be called."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(checked.host, checked.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"{checked.host} has no address") from error
    addresses = [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
    for address in addresses:
        if checked.is_loopback:
            if not address.is_loopback:
                raise NotAllowed(f"{checked.host} leads away from this machine")
        elif not _is_public(address):
            raise NotAllowed(f"{checked.host} leads into a private network")
    return addresses[0]


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _literal(host: str) -> Address | None:
    """An address written as such, also in the forms that a resolver reads: 127.1, 0x7f000001, 2130706433."""
    try:
        return ip_address(host.strip("[]"))
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host)) if host[:1].isdigit() else None
    except (OSError, UnicodeError):
        return None


def _literal_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
