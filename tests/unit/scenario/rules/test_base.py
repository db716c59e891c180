from harness.scenario.rules.base import Broken, any_of, remove, repeated, shown, twice, under
from harness.scenario.rules.base import with_article as article


def test_what_was_there_before_counts_and_nothing_does_not():
    assert list(twice(["a", None, "a", None, "b", "a"])) == [(2, "a"), (5, "a")]


def test_only_a_list_has_something_twice():
    assert list(repeated("key", 3)) == []
    (broken,) = repeated("key", (1.0, 2.0, 1.0))
    assert (broken.loc, broken.message) == (("key", 2), "1 is there twice")


def test_values_look_as_they_were_written():
    assert [shown(v) for v in (True, 2, 2.0, 2.5, "x", {})] == [
        "true", "2", "2", "2.5", "x", "the same",
    ]  # fmt: skip


def test_from_further_out_a_place_is_longer_and_the_rest_the_same():
    (broken,) = under(("a", 0), [remove("b", "goes elsewhere")])
    assert broken == Broken(("a", 0, "b"), "goes elsewhere; remove it", on_key=True)


def test_words():
    assert (article("onnx"), article("torch")) == ("an onnx", "a torch")
    assert any_of(("a",)) == "`a`"
    assert any_of(("a", "b", "c")) == "`a`, `b` or `c`"
