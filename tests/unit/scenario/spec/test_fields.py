import pytest
from pydantic import TypeAdapter, ValidationError

from harness.errors import ScenarioError
from harness.scenario.reading.loader import load_text
from harness.scenario.rules.base import Broken
from harness.scenario.spec.fields import (
    PARSE_ONLY,
    Dimension,
    EnvironmentValue,
    Many,
    Model,
    OneOrMore,
    Shape,
    Some,
)


class Part(Model):
    number: int
    odd: bool = False

    def _broken(self):
        if self.number < 0:
            yield Broken(("number",), "is negative", on_key=True)


class Whole(Model):
    parts: Many[Part]
    most: int = 1

    def _broken(self):
        if len(self.parts) > self.most:
            yield Broken((), "too many parts", lacks=("most",))


def errors(data, **keys):
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate(data, **keys)
    return [(e["type"], e["loc"]) for e in caught.value.errors()]


def test_rules_of_parts_and_of_the_whole_are_said_at_once():
    assert errors({"parts": [{"number": 1}, {"number": -1}]}) == [
        ("rule", ("parts", 1)), ("rule", ()),
    ]  # fmt: skip


def test_what_can_not_be_parsed_has_no_rules_but_its_neighbours_have():
    assert errors({"parts": [{"number": "x"}, {"number": -1}]}) == [
        ("int_type", ("parts", 0, "number")), ("rule", ("parts", 1)),
    ]  # fmt: skip


def test_a_rule_says_where_and_what_would_mend_it():
    with pytest.raises(ValidationError, match="number: is negative") as caught:
        Part(number=-1)
    (error,) = caught.value.errors()
    assert error["ctx"]["broken"] == Broken(("number",), "is negative", on_key=True)


def test_without_rules_it_is_only_parsed():
    parsed = Whole.model_validate({"parts": {"number": -1}}, context=PARSE_ONLY)
    assert parsed.parts[0].number == -1
    assert errors({"parts": {"number": None}}, context=PARSE_ONLY) == [
        ("int_type", ("parts", 0, "number"))
    ]


def test_what_was_written_is_known_afterwards():
    assert Part.model_validate({"number": 1}).model_fields_set == {"number"}


def test_one_value_stands_for_a_list_of_one():
    some, many = TypeAdapter(Some[int]), TypeAdapter(Many[int])
    assert some.validate_python(4) == some.validate_python([4]) == (4,)
    assert many.validate_python([]) == ()
    with pytest.raises(ValidationError, match="at least 1 item"):
        some.validate_python([])
    assert some.json_schema() == {
        "anyOf": [{"items": {"type": "integer"}, "minItems": 1, "type": "array"},
                  {"type": "integer"}]
    }  # fmt: skip


def test_a_list_of_one_varies_nothing():
    number = TypeAdapter(OneOrMore)
    assert number.validate_python([3]) == 3
    assert number.validate_python([3, 4]) == (3, 4)
    variable = TypeAdapter(EnvironmentValue)
    assert variable.validate_python([1, 2.5]) == ("1", "2.5")
    with pytest.raises(ValidationError, match="put it in quotes"):
        variable.validate_python(True)


def test_a_shape_has_one_batch_or_none():
    shape = TypeAdapter(Shape)
    with pytest.raises(ValidationError, match="more than one batch dimension; write one"):
        shape.validate_python(["batch", "batch"])
    assert [shape.validate_python(s) for s in ([], [3, 4], 3)] == [(), (3, 4), (3,)]


def test_sizes():
    size = TypeAdapter(Dimension)
    assert size.validate_python("words") == "words"
    for wrong in (0, 2**31, True, "two words", 1.5):
        with pytest.raises(ValidationError):
            size.validate_python(wrong)


@pytest.mark.parametrize(
    ("backend", "key", "most"),
    [("kind: onnxruntime", "threads", 1024), ("kind: torch", "threads", 1024),
     ("kind: triton, protocol: http, serve: onnxruntime", "threads", 1024),
     ("kind: triton, protocol: http, serve: onnxruntime", "instances", 256)],
)  # fmt: skip
def test_counts_that_would_take_the_machine_are_refused(backend, key, most, tmp_path):
    text = """
scenario: s
model: {name: m, source: {torch: "torch.nn:ReLU"}, inputs: [{name: x, shape: [batch, 3]}]}
backends: [{%s, %s: %d}]
"""
    load_text(text % (backend, key, most), "s.yaml", tmp_path)
    with pytest.raises(ScenarioError, match=f"must be at most {most}, found 100000"):
        load_text(text % (backend, key, 100000), "s.yaml", tmp_path)
