"""What Baton itself says to a customer on their journey, in the customer's language where we know it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Final

from domain.channels import Channel
from domain.suggestions.rules import Cause


@dataclass(frozen=True, slots=True)
class _Language:
    causes: Mapping[Cause, str]
    offers: Mapping[Channel, str]
    words: Mapping[Channel, str]
    reply: str
    link: str
    video: str
    voice: str
    email: str
    survey: str


_EN: Final = _Language(
    causes={
        Cause.SCREEN_SHARING: "This is solved fastest when we can look at your screen together.",
        Cause.NO_PROGRESS: "We have been writing back and forth for a while.",
        Cause.LONG_WAIT: "All colleagues are busy right now, and we do not want to keep you waiting.",
        Cause.SLA_AT_RISK: "We might not answer here as quickly as we promised.",
        Cause.SENTIMENT_FALLS: "We are sorry that this has been so tiresome.",
        Cause.HISTORY: "Questions like yours are usually solved faster another way.",
        Cause.AGENT: "We could help you better another way.",
    },
    offers={
        Channel.VIDEO: "Would you like to switch to a video call?",
        Channel.VOICE: "Would you like us to call you?",
        Channel.EMAIL: "Would you like to go on by e-mail instead?",
    },
    words={Channel.VIDEO: "VIDEO", Channel.VOICE: "CALL", Channel.EMAIL: "EMAIL"},
    reply="Reply {word} to accept, or NO to stay here.",
    link="Or choose here: {link}",
    video="Thank you. Join us here: {meeting}",
    voice="Thank you. We will call you at {at}.",
    email="Thank you. We go on by e-mail: just answer this message.",
    survey=(
        "How easy was it? On a scale from 1 to 7, do you agree that we made it easy for you to handle your issue?"
        " Reply with one number: 1 is “strongly disagree”, 7 is “strongly agree”."
    ),
)
_DE: Final = _Language(
    causes={
        Cause.SCREEN_SHARING: "Das löst sich am schnellsten, wenn wir gemeinsam auf Ihren Bildschirm schauen.",
        Cause.NO_PROGRESS: "Wir schreiben nun schon eine Weile hin und her.",
        Cause.LONG_WAIT: "Gerade sind alle im Gespräch, und wir möchten Sie nicht warten lassen.",
        Cause.SLA_AT_RISK: "Hier antworten wir vielleicht nicht so schnell, wie wir es versprochen haben.",
        Cause.SENTIMENT_FALLS: "Es tut uns leid, dass das so mühsam war.",
        Cause.HISTORY: "Fragen wie Ihre lösen sich auf anderem Weg meist schneller.",
        Cause.AGENT: "Auf anderem Weg könnten wir Ihnen besser helfen.",
    },
    offers={
        Channel.VIDEO: "Möchten Sie in einen Videoanruf wechseln?",
        Channel.VOICE: "Dürfen wir Sie anrufen?",
        Channel.EMAIL: "Möchten Sie lieber per E-Mail weitermachen?",
    },
    words={Channel.VIDEO: "VIDEO", Channel.VOICE: "ANRUF", Channel.EMAIL: "EMAIL"},
    reply="Antworten Sie {word}, um anzunehmen, oder NEIN, um hier zu bleiben.",
    link="Oder wählen Sie hier: {link}",
    video="Danke. Hier treffen wir uns: {meeting}",
    voice="Danke. Wir rufen Sie um {at} an.",
    email="Danke. Wir machen per E-Mail weiter: Antworten Sie einfach auf diese Nachricht.",
    survey=(
        "Wie einfach war es? Stimmen Sie auf einer Skala von 1 bis 7 zu, dass wir es Ihnen leicht gemacht haben, Ihr"
        " Anliegen zu klären? Antworten Sie mit einer Zahl: 1 „gar nicht“, 7 „voll und ganz“."
    ),
)
_FR: Final = _Language(
    causes={
        Cause.SCREEN_SHARING: "Le plus rapide est de regarder votre écran ensemble.",
        Cause.NO_PROGRESS: "Nous nous écrivons depuis un moment déjà.",
        Cause.LONG_WAIT: "Tous nos collègues sont occupés, et nous ne voulons pas vous faire attendre.",
        Cause.SLA_AT_RISK: "Ici, nous ne répondrons peut-être pas aussi vite que promis.",
        Cause.SENTIMENT_FALLS: "Nous sommes désolés que ce soit si pénible.",
        Cause.HISTORY: "Les questions comme la vôtre se règlent souvent plus vite autrement.",
        Cause.AGENT: "Nous pourrions mieux vous aider autrement.",
    },
    offers={
        Channel.VIDEO: "Souhaitez-vous passer en appel vidéo ?",
        Channel.VOICE: "Souhaitez-vous que nous vous appelions ?",
        Channel.EMAIL: "Souhaitez-vous continuer par e-mail ?",
    },
    words={Channel.VIDEO: "VIDEO", Channel.VOICE: "APPEL", Channel.EMAIL: "EMAIL"},
    reply="Répondez {word} pour accepter, ou NON pour rester ici.",
    link="Ou choisissez ici : {link}",
    video="Merci. Rejoignez-nous ici : {meeting}",
    voice="Merci. Nous vous appellerons à {at}.",
    email="Merci. Nous continuons par e-mail : répondez simplement à ce message.",
    survey=(
        "Était-ce facile ? De 1 à 7, êtes-vous d'accord que nous vous avons facilité les choses ? Répondez par un"
        " chiffre : 1 « pas du tout », 7 « tout à fait »."
    ),
)
_ES: Final = _Language(
    causes={
        Cause.SCREEN_SHARING: "Lo más rápido es mirar su pantalla juntos.",
        Cause.NO_PROGRESS: "Llevamos ya un rato escribiéndonos.",
        Cause.LONG_WAIT: "Todos los compañeros están ocupados y no queremos hacerle esperar.",
        Cause.SLA_AT_RISK: "Quizá aquí no respondamos tan rápido como prometimos.",
        Cause.SENTIMENT_FALLS: "Sentimos que esto haya sido tan pesado.",
        Cause.HISTORY: "Las consultas como la suya suelen resolverse antes por otra vía.",
        Cause.AGENT: "Podríamos ayudarle mejor por otra vía.",
    },
    offers={
        Channel.VIDEO: "¿Quiere pasar a una videollamada?",
        Channel.VOICE: "¿Quiere que le llamemos?",
        Channel.EMAIL: "¿Prefiere continuar por correo?",
    },
    words={Channel.VIDEO: "VIDEO", Channel.VOICE: "LLAMADA", Channel.EMAIL: "CORREO"},
    reply="Responda {word} para aceptar, o NO para seguir aquí.",
    link="O elija aquí: {link}",
    video="Gracias. Nos vemos aquí: {meeting}",
    voice="Gracias. Le llamaremos a las {at}.",
    email="Gracias. Seguimos por correo: basta con responder a este mensaje.",
    survey=(
        "¿Fue fácil? Del 1 al 7, ¿está de acuerdo en que le facilitamos resolver su asunto? Responda con un número:"
        " 1 es «nada de acuerdo», 7 es «muy de acuerdo»."
    ),
)
_LANGUAGES: Final[Mapping[str, _Language]] = MappingProxyType({"en": _EN, "de": _DE, "fr": _FR, "es": _ES})


def offer_text(language: str | None, channel: Channel, cause: Cause, link: str | None) -> str:
    """The suggestion itself: why, what, and how to answer."""
    said = _in(language)
    lines = [f"{said.causes[cause]} {said.offers[channel]}", said.reply.format(word=said.words[channel])]
    return "\n".join([*lines, said.link.format(link=link)] if link else lines)


def meeting_text(language: str | None, meeting: str) -> str:
    return _in(language).video.format(meeting=meeting)


def callback_text(language: str | None, at: datetime) -> str:
    """`at` stands in the zone it is to be read in."""
    return _in(language).voice.format(at=f"{at:%H:%M} ({at:%Z})" if at.tzinfo else f"{at:%H:%M}")


def email_text(language: str | None) -> str:
    return _in(language).email


def survey_text(language: str | None, link: str | None) -> str:
    said = _in(language)
    return f"{said.survey}\n{said.link.format(link=link)}" if link else said.survey


def _in(language: str | None) -> _Language:
    return _LANGUAGES.get((language or "en").split("-")[0], _EN)
