"""Which languages a case asks an agent to speak."""

from collections.abc import Sequence


def languages_needed(known: Sequence[str], heard: str | None, spoken: frozenset[str]) -> tuple[str, ...]:
    """Return the languages of which any one will do, as agents have them; empty when the language decides nothing.

    What is known of the customer goes before what a message was written in. A language that nobody in service speaks
    is not asked for: no widening ever touches the language, so the case would wait for ever.
    """
    wanted = {_base(language) for language in known or ([heard] if heard is not None else [])}
    return tuple(sorted(language for language in spoken if _base(language) in wanted))


def _base(language: str) -> str:
    return language.partition("-")[0]
