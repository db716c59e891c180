import pytest

from harness.scenario.spec.colocated import Batching, ColocatedModel
from harness.scenario.spec.served import ServedSettings


def served(**keys):
    return ServedSettings.model_validate({"kind": "served", **keys})


def test_single_values():
    spec = served(instances=2, max_batch_size=8, dynamic_batching=True, env={"A": 1})
    assert (spec.instance_count, spec.max_batch, spec.batching) == (2, 8, Batching())
    assert spec.variables == {"A": "1"}
    assert served(dynamic_batching=False).batching is None
    assert served().instance_count == 1


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"instances": [1, 2]}, "instance_count"), ({"max_batch_size": [1, 2]}, "max_batch"),
        ({"dynamic_batching": [True, False]}, "batching"), ({"config": [{}, {}]}, "config_fields"),
        ({"env": {"A": [1, 2]}}, "variables"),
    ],
)  # fmt: skip
def test_a_list_is_no_single_value(keys, name):
    with pytest.raises(ValueError, match="several configs"):
        getattr(served(**keys), name)


def test_a_model_in_a_repository_is_served_differently_only_where_that_is_written():
    assert not served(threads=2).changes_model
    assert served(dynamic_batching=False).changes_model
    assert served(config={"parameters": {}}).changes_model


def test_alone_another_model_takes_what_it_does_not_say_from_the_backend():
    other = ColocatedModel.model_validate(
        {"name": "other", "precision": "fp16", "instances": 3, "load": {"concurrency": 1}}
    )
    spec = served(serve="torch", device="cuda", instances=1, env={"A": 1, "B": [1, 2]},
                  colocated={"name": "x", "load": {"concurrency": 1}})  # fmt: skip
    alone = spec.alone(other)
    assert (alone.name, alone.serve, alone.device) == ("other", "torch", "cuda")
    assert (alone.precision, alone.instances, alone.colocated) == ("fp16", 3, ())
    assert alone.env == {"A": "1"}
