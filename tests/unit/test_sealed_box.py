import pytest

from storage.sealed_box import BoxNotOurs, SealedBox

SECRET = b"a deployment secret of 32 bytes."


def test_a_box_opens_for_its_owner_and_hides_its_words() -> None:
    box = SealedBox(SECRET).seal({"password": "correct horse"}, "acc_1")
    assert b"correct horse" not in box
    assert SealedBox(SECRET).unseal(box, "acc_1") == {"password": "correct horse"}


def test_two_boxes_of_the_same_words_differ() -> None:
    sealer = SealedBox(SECRET)
    assert sealer.seal({"a": "b"}, "acc_1") != sealer.seal({"a": "b"}, "acc_1")


def test_a_box_moved_to_another_row_does_not_open() -> None:
    box = SealedBox(SECRET).seal({"password": "x"}, "acc_1")
    with pytest.raises(BoxNotOurs):
        SealedBox(SECRET).unseal(box, "acc_2")


def test_a_box_of_another_deployment_does_not_open() -> None:
    box = SealedBox(SECRET).seal({"password": "x"}, "acc_1")
    with pytest.raises(BoxNotOurs):
        SealedBox(b"some other secret of 32 bytes...").unseal(box, "acc_1")


@pytest.mark.parametrize("place", [0, 3, 8, 20, -1])
def test_an_altered_box_does_not_open(place: int) -> None:
    box = bytearray(SealedBox(SECRET).seal({"password": "x"}, "acc_1"))
    box[place] ^= 1
    with pytest.raises(BoxNotOurs):
        SealedBox(SECRET).unseal(bytes(box), "acc_1")


@pytest.mark.parametrize("length", [0, 1, 5, 17, 20])
def test_a_cut_box_does_not_open(length: int) -> None:
    box = SealedBox(SECRET).seal({"password": "x"}, "acc_1")
    with pytest.raises(BoxNotOurs):
        SealedBox(SECRET).unseal(box[:length], "acc_1")


def test_a_box_sealed_under_the_older_secret_still_opens() -> None:
    newer = b"a newer deployment secret, longer"
    box = SealedBox(SECRET).seal({"password": "x"}, "acc_1")
    rotated = SealedBox(newer, SECRET)
    assert rotated.unseal(box, "acc_1") == {"password": "x"}
    with pytest.raises(BoxNotOurs):
        SealedBox(SECRET).unseal(rotated.seal({"password": "x"}, "acc_1"), "acc_1")


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 16 bytes"):
        SealedBox(b"short")
