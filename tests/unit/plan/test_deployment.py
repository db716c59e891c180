"""The objects around a replica."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from support.planned import HOSTILE

from harness.plan.deployment import Patch, Service, around, deployment, dns_label


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


def test_what_no_triton_serves_has_an_image_to_be_replaced() -> None:
    service = Service("s", "a/b1/c1", triton=False, replicas=1, replicas_now=1, load=1.0)
    pod = cast(Any, deployment(service, Patch()))["spec"]["template"]["spec"]
    assert "REPLACE-ME" in pod["containers"][0]["image"]
    assert "volumes" not in pod
