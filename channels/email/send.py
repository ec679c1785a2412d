"""Our replies by SMTP: the same message of ours always leaves with the same Message-ID, however often it is sent."""

import hashlib
import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Final

import aiosmtplib

from channels.adapter import Attachment, Capabilities, Delivers, DeliveryFailed, DeliveryRefused, OutboundMessage, Sent
from channels.email.body import file_name
from channels.email.headers import message_ids
from channels.email.machine_mail import OWN_ACCOUNT_FIELD
from channels.email.settings import EmailAccount, Encryption
from channels.html import safe_html
from channels.plain_text import one_line, storable_text
from domain.channels import Channel
from domain.identity.addresses import NotAnAddress, normal_email

_PLAIN_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_ANSWER_PREFIX: Final = re.compile(r"^(?:re|aw|sv|antw|odp|vs)\s*(?:\[\d+\])?:", re.IGNORECASE)
_LONGEST_SUBJECT: Final = 500
_MOST_REFERENCES: Final = 20
_PERMANENT: Final = 500


class EmailAdapter:
    """Sends from one mailbox of ours."""

    def __init__(self, account: EmailAccount) -> None:
        self._account = account

    @property
    def channel(self) -> Channel:
        return Channel.EMAIL

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            html=True, attachments=True, threads=True, typing=False, max_text_length=None, delivers=Delivers.PUSH
        )

    async def send(self, message: OutboundMessage) -> Sent:
        """Hand the message to our mail server.

        A connection lost at the wrong moment may leave it taken and us unaware: sent again, it carries the same
        Message-ID, by which mail programs show it once.
        """
        mail = composed(message, self._account)
        smtp = self._account.smtp
        client = aiosmtplib.SMTP(
            hostname=smtp.host,
            port=smtp.port,
            timeout=self._account.timeout.total_seconds(),
            use_tls=smtp.encryption is Encryption.TLS,
            start_tls=smtp.encryption is Encryption.STARTTLS,
            username=smtp.user,
            password=smtp.password,
        )
        try:
            async with client:
                await client.send_message(mail, sender=self._account.address)
        except aiosmtplib.SMTPRecipientsRefused as error:
            raise _refusal(error.recipients[0]) from error
        except (aiosmtplib.SMTPAuthenticationError, aiosmtplib.SMTPConnectError, aiosmtplib.SMTPHeloError) as error:
            # The server refused us, not the message: once that is put right, the message can go.
            raise DeliveryFailed(type(error).__name__, str(error)) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _refusal(error) from error
        except aiosmtplib.SMTPNotSupported as error:
            raise DeliveryRefused("not_supported", str(error)) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise DeliveryFailed(type(error).__name__, str(error)) from error
        return Sent(provider_message_id=mail["Message-ID"])


def outbound_message_id(message_id: str, domain: str) -> str:
    """The Message-ID a message of ours goes by, the same each time it is asked for."""
    local = message_id
    if not _PLAIN_ID.fullmatch(message_id):
        local = hashlib.sha256(message_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return f"<{local}@{domain}>"


def composed(message: OutboundMessage, account: EmailAccount) -> EmailMessage:
    """The mail as it will be sent; raises `DeliveryRefused` when no mail can be made of the message."""
    mail = EmailMessage(policy=SMTP_POLICY)
    mail["Message-ID"] = outbound_message_id(message.message_id, account.domain)
    mail["Date"] = format_datetime(message.sent_at)
    mail["From"] = Address(one_line(account.display_name), addr_spec=account.address)
    mail["To"] = Address(addr_spec=_recipient(message.to_address))
    mail["Subject"] = _subject(message)
    references = message_ids(" ".join(message.references))
    if references:
        mail["In-Reply-To"] = references[-1]
        # The root and the newest are what mail programs thread by.
        mail["References"] = " ".join(dict.fromkeys((references[0], *references[-_MOST_REFERENCES:])))
    mail[OWN_ACCOUNT_FIELD] = account.address
    mail["Auto-Submitted"] = "auto-generated" if message.automatic else "no"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    mail.set_content(storable_text(message.text))
    if message.html is not None:
        mail.add_alternative(safe_html(storable_text(message.html)), subtype="html")
    for attachment in message.attachments:
        _attach(mail, attachment)
    return mail


def _recipient(address: str) -> str:
    try:
        return normal_email(address).value
    except NotAnAddress as error:
        raise DeliveryRefused("not_an_address", error.reason) from error


def _subject(message: OutboundMessage) -> str:
    subject = one_line(message.subject or "")[:_LONGEST_SUBJECT]
    if not message.references:
        return subject or "Your message to us"
    return subject if _ANSWER_PREFIX.match(subject) else f"Re: {subject or 'your message'}"


def _attach(mail: EmailMessage, attachment: Attachment) -> None:
    if attachment.content is None:
        raise DeliveryRefused("attachment_missing", f"the content of {attachment.name!r} is not at hand")
    maintype, _, subtype = attachment.content_type.partition("/")
    if not re.fullmatch(r"[\w.+-]+/[\w.+-]+", attachment.content_type) or maintype in {"message", "multipart"}:
        maintype, subtype = "application", "octet-stream"
    name = file_name(attachment.name) or "attachment"
    mail.add_attachment(attachment.content, maintype=maintype, subtype=subtype, filename=name)


def _refusal(answer: aiosmtplib.SMTPResponseException) -> DeliveryRefused | DeliveryFailed:
    error = DeliveryRefused if answer.code >= _PERMANENT else DeliveryFailed
    return error(str(answer.code), answer.message)
