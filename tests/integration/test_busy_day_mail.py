from simulator.busy_day.mail import Letter, MailProgram, Received
from simulator.mail_server import MailServerSettings, mail_server


async def test_a_letter_arrives_in_the_inbox_it_was_written_to() -> None:
    async with mail_server(MailServerSettings(domain="shop.example", password="made-up")) as ports:
        program = MailProgram(ports.smtp, ports.imap, "made-up")

        await program.send(
            Letter("<a@customers.example>", "mia@customers.example", "help@shop.example", "Bill", "Why?")
        )

        arrived = await program.inbox("help@shop.example")
        assert [(mail.message_id, mail.subject, mail.text.strip()) for mail in arrived] == [
            ("<a@customers.example>", "Bill", "Why?")
        ]


async def test_an_inbox_that_can_not_be_reached_is_empty_for_now() -> None:
    async with mail_server(MailServerSettings(domain="shop.example", password="made-up")) as ports:
        program = MailProgram(ports.smtp, ports.imap, "made-up")

    nothing: list[Received] = []
    assert await program.inbox("help@shop.example") == nothing
