"""The ROI view: what the change of the KPIs against a baseline period is worth, at rates everybody can see."""

from dataclasses import dataclass
from datetime import timedelta

from domain.kpis.compute import Kpis


@dataclass(frozen=True, slots=True)
class RoiRates:
    """The settings the view is computed with; money is in one currency, `churn_share` from 0 to 1.

    `churn_share` is the share of customers lost when their matter was not resolved at first contact.
    """

    cost_per_agent_hour: float
    cost_per_escalation: float
    value_per_customer: float
    churn_share: float

    def __post_init__(self) -> None:
        if not 0 <= self.churn_share <= 1:
            raise ValueError(f"a share is from 0 to 1, not {self.churn_share}")


@dataclass(frozen=True, slots=True)
class RoiView:
    """Gains over the baseline, losses negative; `None` where a period has nothing to compare."""

    rates: RoiRates
    agent_time_saved: timedelta | None
    agent_cost_saved: float | None
    escalations_avoided: float | None
    escalation_cost_avoided: float | None
    customers_kept: float | None
    value_of_customers_kept: float | None


def roi_view(current: Kpis, baseline: Kpis, rates: RoiRates) -> RoiView:
    """Return what the current period gained over the baseline, at the current period's volume.

    Time saved is the fall of the mean handle time times episodes handled. Escalations avoided are the fall of transfers
    and re-routes per conversation offered times conversations offered. Customers kept are the rise of first contact
    resolution times conversations resolved times `churn_share`.
    """
    saved = _fall_of_handle_time(current, baseline)
    avoided = _fall_of_handovers(current, baseline)
    kept = _rise_of_first_contact(current, baseline, rates.churn_share)
    return RoiView(
        rates=rates,
        agent_time_saved=saved,
        agent_cost_saved=None if saved is None else saved / timedelta(hours=1) * rates.cost_per_agent_hour,
        escalations_avoided=avoided,
        escalation_cost_avoided=None if avoided is None else avoided * rates.cost_per_escalation,
        customers_kept=kept,
        value_of_customers_kept=None if kept is None else kept * rates.value_per_customer,
    )


def _fall_of_handle_time(current: Kpis, baseline: Kpis) -> timedelta | None:
    if current.handle_time.mean is None or baseline.handle_time.mean is None:
        return None
    return (baseline.handle_time.mean - current.handle_time.mean) * current.handle_time.count


def _fall_of_handovers(current: Kpis, baseline: Kpis) -> float | None:
    offered = current.transfer_rate.denominator
    now = (current.transfer_rate.value, current.reroute_rate.value)
    then = (baseline.transfer_rate.value, baseline.reroute_rate.value)
    if now[0] is None or now[1] is None or then[0] is None or then[1] is None:
        return None
    return (then[0] + then[1] - now[0] - now[1]) * offered


def _rise_of_first_contact(current: Kpis, baseline: Kpis, churn_share: float) -> float | None:
    now, then = current.first_contact_resolution, baseline.first_contact_resolution
    if now.value is None or then.value is None:
        return None
    return (now.value - then.value) * now.denominator * churn_share
