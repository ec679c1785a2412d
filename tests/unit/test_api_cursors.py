import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cursors import Cursors
from api.problems import BadRequest

CURSORS = Cursors(b"a secret of at least sixteen bytes")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@given(key=st.lists(TEXT, min_size=1, max_size=4).map(tuple))
def test_a_cursor_reads_back_what_was_written(key: tuple[str, ...]) -> None:
    assert CURSORS.read("agents", CURSORS.write("agents", key), len(key)) == key


@given(cursor=TEXT)
def test_what_nobody_wrote_is_refused_and_never_crashes(cursor: str) -> None:
    with pytest.raises(BadRequest):
        CURSORS.read("agents", cursor, 1)


def test_a_cursor_of_another_list_another_deployment_or_altered_is_refused() -> None:
    cursor = CURSORS.write("agents", ("agt_1",))
    altered = cursor[:-2] + ("A" if cursor[-2] != "A" else "B") + cursor[-1]
    for of, written in (("keys", cursor), ("agents", altered)):
        with pytest.raises(BadRequest):
            CURSORS.read(of, written, 1)
    with pytest.raises(BadRequest):
        Cursors(b"another secret of sixteen bytes").read("agents", cursor, 1)
