from api.rate_limit import RateLimit


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_passes_and_the_next_call_is_told_how_long_to_wait() -> None:
    limit = RateLimit(per_second=0.5, burst=3, clock=Clock())
    assert [limit.wait("a") for _ in range(4)] == [0, 0, 0, 2]


def test_a_refused_call_costs_no_token() -> None:
    clock = Clock()
    limit = RateLimit(per_second=1, burst=1, clock=clock)
    assert [limit.wait("a"), limit.wait("a"), limit.wait("a")] == [0, 1, 1]
    clock.now = 1.0
    assert limit.wait("a") == 0


def test_waiting_never_saves_up_more_than_a_burst() -> None:
    clock = Clock()
    limit = RateLimit(per_second=10, burst=2, clock=clock)
    clock.now = 3600.0
    assert [limit.wait("a") for _ in range(3)] == [0, 0, 1]


def test_callers_do_not_share_a_bucket() -> None:
    limit = RateLimit(per_second=1, burst=1, clock=Clock())
    assert [limit.wait("a"), limit.wait("b")] == [0, 0]
