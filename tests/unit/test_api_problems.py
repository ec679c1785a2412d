import pytest
from psycopg import OperationalError
from psycopg_pool import PoolTimeout

from api.problems import HttpError, as_baton_error, refused
from domain.conversation.refusals import RefusalCode


@pytest.mark.parametrize("error", [OperationalError("gone"), PoolTimeout("full")])
def test_a_database_out_of_reach_asks_to_come_back_later(error: Exception) -> None:
    told = as_baton_error(error)
    assert isinstance(told, HttpError)
    assert (told.status, told.code) == (503, "unavailable")
    assert int(told.headers["Retry-After"]) >= 1
    assert "gone" not in str(told)


def test_an_error_nobody_foresaw_is_not_explained_to_a_caller() -> None:
    assert as_baton_error(RuntimeError("a secret of ours")) is None


@pytest.mark.parametrize("code", list(RefusalCode))
def test_a_refusal_keeps_its_code(code: RefusalCode) -> None:
    told = refused(code, "why")
    assert told.code == code.value
    assert told.status == (403 if code is RefusalCode.NOT_YOURS else 409)
