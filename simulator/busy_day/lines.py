"""What customers say when no file of real questions is given: two lines of our own for each intent, and small talk."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

OPENING_LINES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "billing_question": (
            "Can you explain the second item on my March bill?",
            "Why is my bill eight euros higher than last month?",
        ),
        "unexpected_charge": (
            "You took 49 euros from my card and I never ordered anything.",
            "There is a charge from you on my statement that I do not recognise.",
        ),
        "payment_failed": (
            "My card was declined twice although there is money on it.",
            "The payment page says my payment failed. What now?",
        ),
        "payment_method": (
            "How do I change the card you charge every month?",
            "I would like to pay by direct debit from now on.",
        ),
        "refund_request": (
            "I want my money back for the order from last week.",
            "Please refund the double payment I made on Monday.",
        ),
        "refund_status": (
            "You promised me a refund ten days ago. Where is it?",
            "Has my refund been sent to the bank yet?",
        ),
        "invoice_request": (
            "I need an invoice with our company address on it.",
            "Where can I download the invoice for February?",
        ),
        "discount_code": (
            "The voucher code from your newsletter is not accepted.",
            "My discount code says it has expired, but it is valid until Sunday.",
        ),
        "plan_change": (
            "I would like to move from the small plan to the team plan.",
            "Can I downgrade my plan in the middle of the month?",
        ),
        "cancel_subscription": (
            "Please cancel my subscription at the end of this month.",
            "How do I end my membership? I can't find the button.",
        ),
        "login_problem": (
            "I can't log in any more, it says my account is unknown.",
            "Every time I sign in I am thrown back to the start page.",
        ),
        "password_reset": (
            "The mail to reset my password never arrives.",
            "I have forgotten my password and the reset link is dead.",
        ),
        "two_factor": (
            "I have a new phone and the codes of the old authenticator are gone.",
            "Your six digit login code is always refused.",
        ),
        "account_details": (
            "I have moved house. Where do I change my address?",
            "Please put my new family name on my account.",
        ),
        "data_privacy": (
            "Please send me all the personal data you hold about me.",
            "I want my data deleted under the privacy law.",
        ),
        "fraud_report": (
            "Somebody has ordered in my name with my account!",
            "I got a mail that pretends to be you and asks for my card number.",
        ),
        "delivery_status": (
            "Where is my parcel? It should have been here on Tuesday.",
            "When will my order be delivered?",
        ),
        "missing_delivery": (
            "The tracking says delivered, but there is no parcel here.",
            "My package never arrived and the neighbours don't have it.",
        ),
        "damaged_item": (
            "The lamp came out of the box with a broken foot.",
            "The screen of the tablet you sent is cracked.",
        ),
        "wrong_item": (
            "I ordered the blue jacket and you sent a green one.",
            "There is somebody else's book in my parcel.",
        ),
        "return_exchange": (
            "The shoes are too small, can I swap them for a 43?",
            "How do I send an item back?",
        ),
        "change_order": (
            "Can I still change the delivery address of my order?",
            "Please add one more pack to the order I placed this morning.",
        ),
        "cancel_order": (
            "I ordered by mistake, please cancel it before it ships.",
            "Please cancel order 5518, I found it elsewhere.",
        ),
        "product_question": (
            "Does the coffee machine work with 110 volts?",
            "Which of your two backpacks fits a 16 inch laptop?",
        ),
        "bug_report": (
            "The app crashes as soon as I open the calendar.",
            "When I export a report, the second page is always empty.",
        ),
        "outage": (
            "Is your service down? Nothing loads here.",
            "We all get error 502 on your site since noon.",
        ),
        "setup_help": (
            "I can't get the printer to connect to your app, can somebody show me?",
            "How do I set up the new router step by step?",
        ),
        "integration_api": (
            "Our webhook no longer gets your order events since the update.",
            "Which API call gives me all invoices of one customer?",
        ),
        "feature_request": (
            "It would be great if the app had a dark mode.",
            "Could you add an export to spreadsheets?",
        ),
        "complaint": (
            "This is the third time I write and nobody has helped me. I am very disappointed.",
            "Your service was a disaster and I want this to reach a manager.",
        ),
        "human_agent": (
            "I would like to speak to a person, please.",
            "Can a real human call me back?",
        ),
    }
)

FOLLOW_UPS: Final = (
    "I have tried that, it is still the same.",
    "The number is 4471-B, if that helps.",
    "Yes, that is the address I use.",
    "It happened again just now.",
    "And how long will that take?",
)

ON_ANOTHER_CHANNEL: Final = (
    "It is me again, I am on my way now, please go on here.",
    "I also sent you this elsewhere, this way is easier for me.",
    "Adding to what I wrote before: it is rather urgent.",
)

ON_THE_PHONE: Final = (
    "Caller asks what has become of their mail and wants a call back.",
    "Caller has found the number we asked for, it is 4471-B.",
)

FROM_ANOTHER_PHONE: Final = (
    "I write from my other phone, it is about what I sent you a minute ago.",
    "Same matter as before, my first phone is running out of power.",
)

COMING_BACK: Final = (
    "Sorry, it has come back. The same thing as before.",
    "I looked again and it is not right yet.",
    "One more question about what we settled: does it hold for next month too?",
)

VIDEO_ACCEPTED: Final = "Video, please!"
VIDEO_DECLINED: Final = "No, thanks"

THANKS: Final = ("Thank you, that solved it!", "Great, thanks a lot. Bye!", "Perfect, thank you for your help.")

AGENT_ANSWERS: Final = (
    "Thank you for writing to us. I have looked into it and this is what I found.",
    "I have put that right on our side. Could you please check?",
    "I see it here. I have started the next step and you will get a confirmation.",
    "Thanks for the details. Please try once more, it should work now.",
)
