"""A routing decision as a sentence a person can check."""

from datetime import timedelta

from domain.routing.model import AgentCapacity, Candidate, ScorePart, SuccessEstimate, WaitingCase

_FEW_CASES = 10


def sentence(
    case: WaitingCase,
    agent: AgentCapacity,
    parts: tuple[ScorePart, ...],
    success: SuccessEstimate,
    runner_up: Candidate | None,
    *,
    load_after: int,
    waited: timedelta,
    step: int,
    overflow: str | None,
    affinity_age: timedelta | None,
    by_preference: bool,
) -> str:
    """Why this agent: what fits, how likely they resolve it, continuity, room, the wait, and who came next."""
    clauses = [_fit(case, agent)]
    likely = f"{success.value:.2f} likely to resolve (team {success.team:.2f})"
    if success.cases < _FEW_CASES:
        likely += f", only {success.cases} such cases so far"
    clauses.append(likely)
    if any(part.name == "continuity" and part.value > 0 for part in parts):
        clauses.append("knows this customer" + (f", last {_ago(affinity_age)}" if affinity_age is not None else ""))
    clauses.append(f"{load_after} of {agent.capacity} units taken with it")
    clauses.append(f"waited {_span(waited)}")
    if step:
        clauses.append(f"asked for less after widening step {step}")
    if overflow is not None:
        clauses.append(f"the queue overflows by rule {overflow}")
    if by_preference:
        clauses.append("as good as the best for the customer, and wants such cases")
    told = ", ".join(clauses)
    if runner_up is None:
        return f"{told}; nobody else could."
    return f"{told}; next best {runner_up.agent_id} ({_lead(parts, runner_up)})."


def _fit(case: WaitingCase, agent: AgentCapacity) -> str:
    if case.only_agent is not None:
        return "named for it"
    spoken = sorted(case.languages & agent.languages)
    fits = spoken + [need.skill for need in case.required_skills if agent.skills.get(need.skill, 0) > 0]
    return " + ".join(fits) if fits else f"in pool {agent.pools[0] if agent.pools else case.pool}"


def _lead(parts: tuple[ScorePart, ...], other: Candidate) -> str:
    """The term that tells the two apart the most, the first by name among equals."""
    theirs = {part.name: part.value for part in other.parts}
    name, difference = "", 0.0
    for part in parts:
        apart = part.value - theirs.pop(part.name, 0.0)
        if _tells_more(part.name, apart, name, difference):
            name, difference = part.name, apart
    for only_theirs, value in theirs.items():
        if _tells_more(only_theirs, -value, name, difference):
            name, difference = only_theirs, -value
    if abs(difference) < 0.0005:  # noqa: PLR2004 - what three decimals would show as nothing
        return "equal"
    return f"{name.replace('_', ' ')} {-difference:+.3f}"


def _tells_more(name: str, apart: float, best: str, most: float) -> bool:
    return abs(apart) > abs(most) or (abs(apart) == abs(most) and name < best)


def _ago(age: timedelta) -> str:
    return "just now" if age < timedelta(minutes=1) else f"{_span(age)} ago"


def _span(span: timedelta) -> str:
    seconds = max(0, int(span.total_seconds()))
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
