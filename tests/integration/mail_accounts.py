"""An e-mail account of the ledger's on the simulated mail server."""

import json
from collections.abc import Sequence
from email.message import EmailMessage
from uuid import uuid4

import aiosmtplib
from psycopg.rows import TupleRow

from simulator.mail_server import MailServerPorts, MailServerSettings
from storage.database import Database
from storage.sealed_box import SealedBox

HELP = "help@lamp.example"
ADA = "ada@cust.example"
SERVER = MailServerSettings("lamp.example", "pw", authenticated_domains=frozenset({"cust.example"}))
BOX = SealedBox(b"a deployment secret of 32 bytes.")


async def rows(database: Database, query: str, *values: object) -> list[TupleRow]:
    async with database.ledger.connection() as connection:
        return await (await connection.execute(query.encode(), values)).fetchall()


async def add_account(
    database: Database, ports: MailServerPorts, *, name: str = "support", address: str = HELP, box: SealedBox = BOX
) -> str:
    account_id = f"acc_{name}"
    server = {"host": "127.0.0.1", "encryption": "none", "user": address}
    settings = {
        "address": address,
        "display_name": "Lamp Help",
        "imap": {**server, "port": ports.imap},
        "smtp": {**server, "port": ports.smtp},
        "authserv_id": "mx.lamp.example",
        "poll_interval_seconds": 0.1,
    }
    secrets = box.seal({"imap_password": "pw", "smtp_password": "pw"}, account_id)
    await rows(
        database,
        """
        with account as (
            insert into channel_accounts (id, channel, name, settings, secrets, active, created_at)
            values (%s, 'email', %s, %s, %s, true, now()) returning id
        )
        select pg_notify('baton_settings', '') from account
        """,
        account_id,
        name,
        json.dumps(settings),
        secrets,
    )
    return account_id


async def write(
    ports: MailServerPorts,
    text: str,
    *,
    to: str = HELP,
    message_id: str | None = None,
    references: Sequence[str] = (),
) -> str:
    """A mail of Ada's; returns its Message-ID."""
    mail = EmailMessage()
    mail["From"] = f"Ada Byte <{ADA}>"
    mail["To"] = to
    mail["Subject"] = "Lamp"
    mail["Message-ID"] = message_id or f"<{uuid4().hex}@cust.example>"
    if references:
        mail["References"] = " ".join(references)
    mail.set_content(text)
    await send_raw(ports, mail.as_bytes(), to=to)
    return str(mail["Message-ID"])


async def send_raw(ports: MailServerPorts, raw: bytes, *, to: str = HELP) -> None:
    await aiosmtplib.send(raw, sender=ADA, recipients=[to], hostname="127.0.0.1", port=ports.smtp, start_tls=False)
