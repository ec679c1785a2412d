from datetime import UTC, datetime

import pytest

from channels.email.parse import parse_email
from channels.email.settings import EmailAccount, MailServer, TrustFrom

SERVER = MailServer("mail.lamp.example", 993)
FROM = "From: Ada <ada@cust.example>\n"


def is_verified(
    header: str, trust: TrustFrom = TrustFrom.AUTHENTICATED, authserv_id: str | None = "mx.lamp.example"
) -> bool:
    account = EmailAccount(
        "helpdesk", "help@lamp.example", "Help", SERVER, SERVER, trust_from=trust, authserv_id=authserv_id
    )
    return parse_email(f"{header}\nhi".encode(), account, datetime(2025, 3, 4, tzinfo=UTC)).sender.verified


@pytest.mark.parametrize(
    "verdict",
    [
        "mx.lamp.example; dmarc=pass header.from=cust.example",
        "MX.lamp.example; spf=fail smtp.mailfrom=x.example; DMARC=Pass (p=reject dis=none) header.from=Cust.Example",
        "mx.lamp.example 1;\n dkim=pass header.d=cust.example;\n dmarc=pass header.from=cust.example",
        "mx.lamp.example (Lamp's (own) server); dmarc=pass header.from=ada@cust.example",
    ],
)
def test_a_sender_our_own_server_authenticated_is_verified(verdict: str) -> None:
    assert is_verified(f"Authentication-Results: {verdict}\n{FROM}")


@pytest.mark.parametrize(
    "verdict",
    [
        "mx.evil.example; dmarc=pass header.from=cust.example",
        "mx.lamp.example; dmarc=fail header.from=cust.example",
        "mx.lamp.example; dmarc=none header.from=cust.example",
        "mx.lamp.example; dmarc=pass header.from=evil.example",
        "mx.lamp.example; dmarc=pass",
        "mx.lamp.example; spf=pass smtp.mailfrom=cust.example; dkim=pass header.d=cust.example",
        "mx.lamp.example; none",
        "mx.lamp.example.evil.example; dmarc=pass header.from=cust.example",
        "mx.lamp.example; dmarc=fail (dmarc=pass header.from=cust.example;) header.from=cust.example",
        'mx.lamp.example; spf=pass smtp.mailfrom="x; dmarc=pass header.from=cust.example"',
        "mx.lamp.example; dmarc=fail header.from=cust.example; dmarc=pass header.from=cust.example",
        "",
    ],
)
def test_anything_less_than_a_pass_for_the_from_domain_is_not_verified(verdict: str) -> None:
    assert not is_verified(f"Authentication-Results: {verdict}\n{FROM}")


def test_a_verdict_the_sender_wrote_below_our_servers_own_does_not_count() -> None:
    header = (
        "Authentication-Results: mx.lamp.example; dmarc=fail header.from=cust.example\n"
        "Authentication-Results: mx.lamp.example; dmarc=pass header.from=cust.example\n"
    )
    assert not is_verified(header + FROM)


def test_a_verdict_under_another_servers_does_not_count() -> None:
    header = (
        "Authentication-Results: mx.relay.example; dmarc=none\n"
        "Authentication-Results: mx.lamp.example; dmarc=pass header.from=cust.example\n"
    )
    assert not is_verified(header + FROM)


def test_without_a_server_id_of_ours_nobody_is_authenticated() -> None:
    header = "Authentication-Results: mx.lamp.example; dmarc=pass header.from=cust.example\n"
    assert not is_verified(header + FROM, authserv_id=None)


@pytest.mark.parametrize(
    "sender",
    [
        "From: ada@cust.example, eve@evil.example\n",
        "From: ada@cust.example <eve@evil.example>\n",
        "From: ada@cust.example\nFrom: eve@evil.example\n",
        "Sender: ada@cust.example\n",
    ],
)
def test_a_from_that_can_be_read_in_two_ways_proves_nothing(sender: str) -> None:
    assert not is_verified(sender, trust=TrustFrom.ALWAYS)


def test_a_closed_mailbox_may_trust_every_from() -> None:
    assert is_verified(FROM, trust=TrustFrom.ALWAYS)


def test_a_mailbox_may_trust_no_from() -> None:
    header = "Authentication-Results: mx.lamp.example; dmarc=pass header.from=cust.example\n"
    assert not is_verified(header + FROM, trust=TrustFrom.NEVER)
