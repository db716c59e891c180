"""The files that deploy a plan, by system: YAML and JSON by libraries, command lines quoted."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.errors import UsageError
from harness.plan.deployment import (
    SERVE,
    Object,
    Patch,
    Service,
    around,
    deployment,
    keda,
    ports_of,
)
from harness.plan.kubernetes import PATCHES, claims, device_plugin_config
from harness.plan.planning import Plan, SystemPlan
from harness.plan.rounding import Rounded
from harness.report.model.decision import with_margin
from harness.system.files import write_text

HEADER = "# Made by harness plan from measured peaks; not yet tried under a cap.\n"
"""Of a plan without a proof; `header` has the others'."""
CGROUPS = "/sys/fs/cgroup"
"""NVML wants a group's whole path (nvmlSetMemoryLimits_v1_t)."""
LIBVGPU = "/usr/local/vgpu/libvgpu.so"
"""Where HAMi's device plugin puts its library on a node."""
Files = dict[str, str]
"""Name → text."""


def files_of(row: SystemPlan, plan: Plan, service: Service) -> Files:
    """What deploys the plan in one system; nothing where it is refused."""
    if row.rounded is None:
        return {}
    name = row.system.name
    if name in PATCHES:
        objects = {
            "kubernetes.yaml": _objects(row, service),
            "keda.yaml": yaml_text([keda(service)]),
        }
        return objects | _beside(row, service)
    if name in ("dra-mps", "dra-mig", "dra-capacity", "dra-hami"):
        keda_file = {} if name == "dra-mps" else {"keda.yaml": yaml_text([keda(service)])}
        return {"kubernetes.yaml": _with_claims(row, service), **keda_file}
    return COMMANDS[name](row.rounded, service, plan)


def header(plan: Plan) -> str:
    """The first line of every file that can have one: whether the request was tried."""
    proof = plan.proof
    if proof is None:
        return HEADER
    asked, each = proof.requested, " a process" if proof.per_process else ""
    if proof.verified:
        return f"# Made by harness plan; {asked.mib:,} MiB{each} verified under {asked.how}.\n"
    why = f"under a partial cap, {asked.how}" if proof.held else "did not hold the target"
    return f"# Made by harness plan; NOT verified: {asked.mib:,} MiB{each} {why}.\n"


def header_of(text: str, plan: Plan) -> str:
    """A file's text with the plan's first line."""
    return text.replace(HEADER, header(plan))


def _objects(row: SystemPlan, service: Service) -> str:
    assert row.rounded is not None
    patch = PATCHES[row.system.name](row.rounded)
    return yaml_text([deployment(service, patch), *around(service)])


def _beside(row: SystemPlan, service: Service) -> Files:
    assert row.rounded is not None
    if row.system.name.startswith("device-plugin"):
        return {"config.yaml": yaml_text([device_plugin_config(row.system.name, row.rounded)])}
    if row.system.name != "gke":
        return {}
    accelerator = (
        "type=ACCELERATOR,count=1,gpu-sharing-strategy=mps,"
        f"max-shared-clients-per-gpu={row.rounded.written}"
    )
    command = ["gcloud", "container", "node-pools", "create", service.name]
    return {"node-pool.sh": script([*command, "--cluster=CLUSTER", f"--accelerator={accelerator}"])}


def _with_claims(row: SystemPlan, service: Service) -> str:
    assert row.rounded is not None
    made = claims(row.system.name, row.rounded, service)
    if row.system.name != "dra-mps":
        patch = Patch(claim={"resourceClaimTemplateName": f"{service.name}-gpu"})
        return yaml_text(
            [made(f"{service.name}-gpu"), deployment(service, patch), *around(service)]
        )
    each = (row.fit.per_card if row.fit else None) or 1
    objects: list[Object] = []
    for index, begin in enumerate(range(0, service.replicas, each)):
        name = f"{service.name}-{index}"
        patch = Patch(claim={"resourceClaimName": name})
        count = min(each, service.replicas - begin)
        objects += [made(name), deployment(service, patch, name=name, replicas=count)]
    return yaml_text([*objects, *around(service, scaled=False)])


def yaml_text(objects: Sequence[Object]) -> str:
    """Documents of one file; every text is quoted as far as it needs."""
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    out = io.StringIO()
    for found in objects:
        out.write("---\n")
        yaml.dump(json.loads(json.dumps(found)), out)
    return HEADER + out.getvalue()


def script(*commands: Sequence[str]) -> str:
    """A shell script; each command's words are quoted."""
    return "#!/bin/sh\n" + HEADER + "set -eu\n" + "".join(f"{shlex.join(c)}\n" for c in commands)


def _exports(env: Mapping[str, str]) -> str:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in env.items())


def _docker(service: Service, env: Mapping[str, str], *options: str) -> list[str]:
    given = [word for name, value in env.items() for word in ("-e", f"{name}={value}")]
    run = ["docker", "run", "-d", "--name", service.name, "--gpus", "device=0", *given]
    serve = SERVE if service.triton else []
    volume = ["-v", f"{service.claim}:/models:ro"] if service.triton else []
    return [*run, *options, *volume, service.container_image, *serve]


def _arena(rounded: Rounded, service: Service, plan: Plan) -> Files:
    """Exactly one of --gpus and --gpumemory: with both, Arena writes both limits."""
    core = [] if rounded.compute is None else [f"--gpucore={rounded.compute}"]
    command = [
        "arena", "serve", "triton", f"--name={service.name}", f"--image={service.container_image}",
        f"--gpumemory={rounded.written}", *core, f"--replicas={service.replicas}",
        f"--data={service.claim}:/models", "--model-repository=/models", "--http-port=8000",
        "--grpc-port=8001", "--metrics-port=8002", "--allow-metrics=true",
    ]  # fmt: skip
    return {"arena.sh": script(command)}


def _mps(rounded: Rounded, service: Service, plan: Plan) -> Files:
    pipe = f"/tmp/mps-{service.name}"  # noqa: S108 - MPS's own default lies there too
    env = {"CUDA_MPS_PIPE_DIRECTORY": pipe, "CUDA_MPS_LOG_DIRECTORY": f"{pipe}-log"}
    limits = {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": f"0={rounded.written}"}
    if rounded.compute is not None:
        limits["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = str(rounded.compute)
    default = shlex.quote(f"set_default_device_pinned_mem_limit 0 {rounded.written}")
    start = (
        "#!/bin/sh\n" + HEADER + 'set -eu\n. "$(dirname "$0")/mps.env"\n'
        'mkdir -p "$CUDA_MPS_PIPE_DIRECTORY" "$CUDA_MPS_LOG_DIRECTORY"\n'
        f"nvidia-cuda-mps-control -d\necho {default} | nvidia-cuda-mps-control\n"
    )
    return {"mps.env": HEADER + _exports({**env, **limits}), "start-mps.sh": start}


def _mps_v3(rounded: Rounded, service: Service, plan: Plan) -> Files:
    """A named namespace inherits nothing, so it has the limits again. Names are DNS labels, and so
    bare keys of TOML.
    """
    percent = "" if rounded.compute is None else f'active_thread_percentage = "{rounded.compute}"\n'
    limits = f'pinned_memory_limit = "{rounded.written}"\n{percent}'
    text = (
        f'{HEADER}schema_version = "1.0"\n\n[servers.{service.name}]\n{limits}\n'
        f"[servers.{service.name}.namespaces.replicas]\n{limits}"
    )
    return {"mps.toml": text}


def _hami_core(rounded: Rounded, service: Service, plan: Plan) -> Files:
    """The library has to be in the container: what can't be preloaded is passed over, without a
    limit. `--mount` fails where it is not on the host either; `-v` would make a folder of its name.
    """
    env = {"CUDA_DEVICE_MEMORY_LIMIT_0": rounded.written}
    if rounded.compute is not None:
        env["CUDA_DEVICE_SM_LIMIT"] = str(rounded.compute)
    mount = f"type=bind,source={LIBVGPU},target={LIBVGPU},readonly"
    command = _docker(service, {"LD_PRELOAD": LIBVGPU, **env}, "--mount", mount)
    return {"hami-core.sh": script(command)}


def _driver_limits(rounded: Rounded, service: Service, plan: Plan) -> Files:
    """By the toolkit for a container; by nvidia-smi for a cgroup that is there already."""
    value = rounded.written
    env = {"NVIDIA_GPU_MEMORY_REQUEST": value, "NVIDIA_GPU_MEMORY_LIMIT": value}
    limits = ["--soft-limit", value, "--hard-limit", value]
    smi = ["nvidia-smi", "memory-limits", "-i", "0", "-n", f"{CGROUPS}/{service.name}", *limits]
    return {"container.sh": script(_docker(service, env)), "cgroup.sh": script(smi)}


def _ecs(rounded: Rounded, service: Service, plan: Plan) -> Files:
    mps: dict[str, int] = {"memory": int(rounded.written)}
    if rounded.compute is not None:
        mps["maxComputePercent"] = rounded.compute
    host = with_margin(plan.sized.candidate.host_mib or 1024, plan.margin)
    container: dict[str, object] = {
        "name": service.name, "image": service.container_image, "essential": True, "memory": host,
        "dockerLabels": {"harness.point": service.point},
        "portMappings": [{"containerPort": port} for port in ports_of(service).values()],
        "resourceRequirements": [{"type": "GPU", "sharingStrategy": {"nvidiaMps": mps}}],
    }  # fmt: skip
    task: dict[str, object] = {"family": service.name, "containerDefinitions": [container]}
    if service.triton:
        container["command"] = list(SERVE)
        container["mountPoints"] = [
            {"sourceVolume": "models", "containerPath": "/models", "readOnly": True}
        ]
        shared = {"scope": "shared", "autoprovision": False, "driver": "local"}
        task["volumes"] = [{"name": "models", "dockerVolumeConfiguration": shared}]
    return {"task-definition.json": json.dumps(task, indent=2) + "\n"}


COMMANDS: dict[str, Callable[[Rounded, Service, Plan], Files]] = {
    "arena": _arena, "arena-128mib": _arena, "mps": _mps, "mps-v3": _mps_v3,
    "hami-core": _hami_core, "driver-limits": _driver_limits, "ecs": _ecs,
}  # fmt: skip
"""The systems that are not deployed by Kubernetes objects of ours."""


def write_files(plan: Plan, service: Service, folder: Path) -> list[Path]:
    """All systems' files, each system's in a folder of its name.

    Raises UsageError where the folder holds something already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", fix="name another folder with -o")
    written = []
    for row in plan.systems:
        for name, text in files_of(row, plan, service).items():
            path = folder / row.system.name / name
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, header_of(text, plan))
            written.append(path)
    return written
