"""Kubernetes objects around a replica: Deployment, Service, ServiceMonitor, autoscaler."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Object = Mapping[str, object]
LONGEST_NAME = 40
"""Room for what is appended, within the 63 of a label."""
PROMETHEUS = "http://prometheus-operated.monitoring.svc:9090"
"""Where the Prometheus operator puts it; put yours in."""
CONTAINER = "server"
HTTP, GRPC, METRICS = 8000, 8001, 8002
TRITON_IMAGE = "nvcr.io/nvidia/tritonserver:26.10-py3"
OTHER_IMAGE = "registry.example/REPLACE-ME:latest"
"""The harness measures a runtime in a process of its own: what serves it is the user's image."""
SERVE = ("tritonserver", "--model-repository=/models")
WHOLE_FROM = 100.0
"""Inferences a second from which a threshold is a whole number."""
RATE_METRIC = "inferences_per_second"
"""What an adapter must make of the server's counters for the autoscaler."""


def dns_label(text: str) -> str:
    """A name that Kubernetes takes, different for different texts.

    What had to be changed but for case gets six digits of the text's hash.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:LONGEST_NAME].strip("-")
    if plain == text.lower() and plain[:1].isalpha():
        return plain
    head = plain if plain[:1].isalpha() else f"plan-{plain}".strip("-")
    return f"{head}-{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:6]}"


@dataclass(frozen=True, slots=True)
class Service:
    """What is deployed, in no system's words."""

    name: str
    """A DNS label: `dns_label`."""
    point: str
    """As the run calls it: any text."""
    triton: bool
    replicas: int
    replicas_now: int
    load: float
    """Inferences a second of each replica from which an autoscaler adds one."""
    image: str = ""
    claim: str = "models"
    """The PersistentVolumeClaim with the model repository."""

    @property
    def container_image(self) -> str:
        """The image that was given, or what stands in for it."""
        return self.image or (TRITON_IMAGE if self.triton else OTHER_IMAGE)


@dataclass(frozen=True, slots=True)
class Patch:
    """What a system adds to a pod."""

    limits: Mapping[str, str | int] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    scheduler: str = ""
    claim: Mapping[str, str] = field(default_factory=dict)
    """Entry of `resourceClaims` without its name."""
    host_ipc: bool = False


def deployment(service: Service, patch: Patch, *, name: str = "", replicas: int = 0) -> Object:
    """The Deployment; `name` and `replicas` where they are not the service's."""
    labels = {"app.kubernetes.io/name": service.name}
    selector = {**labels, "app.kubernetes.io/instance": name} if name else labels
    template = {
        "metadata": {
            "labels": {**selector, **patch.labels},
            "annotations": {"harness/point": service.point, **patch.annotations},
        },
        "spec": _pod(service, patch),
    }
    return {
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name or service.name, "labels": labels},
        "spec": {
            "replicas": replicas or service.replicas, "selector": {"matchLabels": selector},
            "template": template,
        },
    }  # fmt: skip


def _pod(service: Service, patch: Patch) -> dict[str, object]:
    pod: dict[str, object] = {"containers": [_container(service, patch)]}
    if service.triton:
        claim = {"claimName": service.claim, "readOnly": True}
        pod["volumes"] = [{"name": "models", "persistentVolumeClaim": claim}]
    if patch.selector:
        pod["nodeSelector"] = dict(patch.selector)
    if patch.scheduler:
        pod["schedulerName"] = patch.scheduler
    if patch.claim:
        pod["resourceClaims"] = [{"name": "gpu", **patch.claim}]
    if patch.host_ipc:
        pod["hostIPC"] = True
    return pod


def ports_of(service: Service) -> Mapping[str, int]:
    """Name → number."""
    return {"http": HTTP, "grpc": GRPC, "metrics": METRICS} if service.triton else {"http": HTTP}


def _container(service: Service, patch: Patch) -> dict[str, object]:
    ports = ports_of(service)
    found: dict[str, object] = {
        "name": CONTAINER, "image": service.container_image,
        "ports": [{"name": name, "containerPort": port} for name, port in ports.items()],
    }  # fmt: skip
    if service.triton:
        found["args"] = list(SERVE)
        found["volumeMounts"] = [{"name": "models", "mountPath": "/models", "readOnly": True}]
        found["readinessProbe"] = {"httpGet": {"path": "/v2/health/ready", "port": "http"}}
    if patch.env:
        found["env"] = [{"name": name, "value": value} for name, value in patch.env.items()]
    resources: dict[str, object] = {"limits": dict(patch.limits)} if patch.limits else {}
    if patch.claim:
        resources["claims"] = [{"name": "gpu"}]
    if resources:
        found["resources"] = resources
    return found


def load_text(load: float, *, quantity: bool) -> str:
    """Inferences a second, down: whole where that loses less than a percent, else in thousandths
    (of which there is at least one), as a quantity of Kubernetes `1500m` or as a number `1.5`.
    """
    thousandths = max(1, math.floor(load * 1000 + 1e-6))
    if load >= WHOLE_FROM or thousandths % 1000 == 0:
        return str(thousandths // 1000)
    return f"{thousandths}m" if quantity else f"{thousandths / 1000:g}"


def around(service: Service, *, scaled: bool = True) -> Sequence[Object]:
    """Service, ServiceMonitor and, unless the replicas are fixed, the autoscaler."""
    labels = {"app.kubernetes.io/name": service.name}
    ports = ports_of(service)
    metadata = {"name": service.name, "labels": labels}
    found: list[Object] = [
        {
            "apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {
                "selector": labels,
                "ports": [{"name": n, "port": p, "targetPort": n} for n, p in ports.items()],
            },
        },
        {
            "apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor",
            "metadata": metadata,
            "spec": {
                "selector": {"matchLabels": labels},
                "endpoints": [{"port": "metrics" if service.triton else "http"}],
            },
        },
    ]  # fmt: skip
    return [*found, _autoscaler(service)] if scaled else found


def _autoscaler(service: Service) -> Object:
    """Between the replicas of today's rate and those of the grown one, at a replica's load."""
    target = {"type": "AverageValue", "averageValue": load_text(service.load, quantity=True)}
    return {
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": service.name},
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1", "kind": "Deployment", "name": service.name,
            },
            "minReplicas": service.replicas_now, "maxReplicas": service.replicas,
            "metrics": [
                {"type": "Pods", "pods": {"metric": {"name": RATE_METRIC}, "target": target}}
            ],
        },
    }  # fmt: skip


def keda(service: Service) -> Object:
    """KEDA's autoscaler, in place of the other: from Triton's own counter in Prometheus.

    Its threshold is a replica's planned load, an average over the replicas.
    """
    metric = "nv_inference_count" if service.triton else RATE_METRIC
    rate = f'{metric}{{service="{service.name}"}}'
    trigger = {
        "type": "prometheus", "metricType": "AverageValue",
        "metadata": {
            "serverAddress": PROMETHEUS,
            "query": f"sum(rate({rate}[1m]))" if service.triton else f"sum({rate})",
            "threshold": load_text(service.load, quantity=False),
        },
    }  # fmt: skip
    return {
        "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject",
        "metadata": {"name": service.name},
        "spec": {
            "scaleTargetRef": {"name": service.name}, "minReplicaCount": service.replicas_now,
            "maxReplicaCount": service.replicas, "triggers": [trigger],
        },
    }  # fmt: skip
