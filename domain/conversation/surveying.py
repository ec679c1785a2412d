"""Asking how easy it was: once an episode has been over for a while, and nobody has reopened it."""

from dataclasses import replace
from datetime import datetime

from domain.conversation.draft import Draft
from domain.conversation.journey_commands import AskSurvey
from domain.conversation.state import ConversationState, EndReason, Phase


def survey_at(state: ConversationState) -> datetime | None:
    """Return when the customer is to be asked: before the reopen window closes at the latest."""
    case = state.case
    if case is None or case.journey is None or case.journey.survey is None or state.resolved_at is None:
        return None
    if state.phase is not Phase.RESOLVED or state.end_reason is not EndReason.RESOLVED:
        return None
    if state.journey.surveyed >= state.episode:
        return None
    return state.resolved_at + min(case.journey.survey.after, case.rules.reopen_window)


def survey_due(draft: Draft) -> None:
    """Ask; the ledger leaves out a customer who was asked not long ago. An answer never comes back to this step."""
    state = draft.state
    terms = state.case.journey.survey if state.case and state.case.journey else None
    draft.state = replace(state, journey=replace(state.journey, surveyed=state.episode))
    if terms is None:
        return
    suffix = f"{state.conversation_id.removeprefix('con_')}_{state.episode}"
    draft.order(AskSurvey(f"srv_{suffix}", f"msg_e_{suffix}", terms.period, terms.answer_within))
