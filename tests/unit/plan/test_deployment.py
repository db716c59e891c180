"""The objects around a replica."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from support.planned import HOSTILE

from harness.plan.deployment import Patch, Service, around, deployment, dns_label, keda


@pytest.mark.parametrize(
    "text", ["resnet", "a/b1/c4", "a.b1.c4", "9lives", HOSTILE, "", "ü", "x" * 300, "-a-", "A"]
)
def test_every_text_becomes_a_name(text: str) -> None:
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", dns_label(text))
    assert len(dns_label(text)) <= 52


def test_different_texts_have_different_names() -> None:
    texts = ["a/b", "a.b", "a-b", "x" * 300, "x" * 301, "", "ü"]
    assert len({dns_label(text) for text in texts}) == len(texts)
    assert dns_label("resnet-50") == "resnet-50"


def test_the_autoscaler_goes_from_todays_replicas_to_the_grown_ones() -> None:
    service = Service("s", "a/b1/c1", triton=True, replicas=7, replicas_now=4, load=160.7)
    (_, monitor, scaler) = cast(Any, around(service))
    assert monitor["spec"]["endpoints"] == [{"port": "metrics"}]
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (4, 7)
    assert scaler["spec"]["metrics"][0]["pods"]["target"]["averageValue"] == "160"
    assert len(around(service, scaled=False)) == 2


def test_keda_scales_by_tritons_counter_at_the_same_load() -> None:
    service = Service("s", "a/b1/c1", triton=True, replicas=7, replicas_now=4, load=160.7)
    found = cast(Any, keda(service))
    assert found["kind"] == "ScaledObject"
    spec = found["spec"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (4, 7)
    (trigger,) = spec["triggers"]
    assert trigger["metricType"] == "AverageValue"
    assert trigger["metadata"]["threshold"] == "160"
    assert trigger["metadata"]["query"] == 'sum(rate(nv_inference_count{service="s"}[1m]))'


def test_without_triton_the_rate_is_the_users_own_metric() -> None:
    service = Service("s", "a/b1/c1", triton=False, replicas=2, replicas_now=1, load=0.5)
    (trigger,) = cast(Any, keda(service))["spec"]["triggers"]
    assert trigger["metadata"]["query"] == 'sum(inferences_per_second{service="s"})'
    assert trigger["metadata"]["threshold"] == "0.5"


@pytest.mark.parametrize(
    ("load", "quantity", "number"),
    [
        (160.7, "160", "160"), (9.99, "9990m", "9.99"), (1.9, "1900m", "1.9"), (1.0, "1", "1"),
        (0.4, "400m", "0.4"), (1e-9, "1m", "0.001"), (1e7, "10000000", "10000000"),
    ],
)  # fmt: skip
def test_a_replica_that_is_slow_is_not_asked_for_more_than_it_carries(
    load: float, quantity: str, number: str
) -> None:
    service = Service("s", "a/b1/c1", triton=False, replicas=7, replicas_now=4, load=load)
    (_, _, scaler) = cast(Any, around(service))
    target = scaler["spec"]["metrics"][0]["pods"]["target"]
    assert target == {"type": "AverageValue", "averageValue": quantity}
    (trigger,) = cast(Any, keda(service))["spec"]["triggers"]
    assert trigger["metadata"]["threshold"] == number


def test_what_no_triton_serves_has_an_image_to_be_replaced() -> None:
    service = Service("s", "a/b1/c1", triton=False, replicas=1, replicas_now=1, load=1.0)
    pod = cast(Any, deployment(service, Patch()))["spec"]["template"]["spec"]
    assert "REPLACE-ME" in pod["containers"][0]["image"]
    assert "volumes" not in pod
