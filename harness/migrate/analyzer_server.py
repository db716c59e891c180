"""How Model Analyzer's launch modes, server flags and Docker settings become `backends.server`."""

from __future__ import annotations

import re

from harness.migrate import values
from harness.migrate.analyzer_rules import Analysis, Rule, mapping, text
from harness.migrate.table import BadValueError, Said, done, not_needed, refused
from harness.scenario.reading.tree import Mark, Node
from harness.triton.server.command import OWN_OPTIONS

LAUNCH_MODES = ("local", "docker", "remote", "c_api")
DOCKER_ARGS = {
    "cpuset_cpus": "", "cpuset_mems": "", "cap_add": "", "cap_drop": "", "cgroup_parent": "",
    "cgroupns": "", "cpu_count": "", "cpu_percent": "", "cpu_period": "", "cpu_quota": "",
    "cpu_shares": "", "cpu_rt_period": "cpu-rt-period", "domainname": "", "entrypoint": "",
    "environment": "env", "hostname": "", "init": "", "isolation": "", "ipc_mode": "ipc",
    "kernel_memory": "", "labels": "label", "mac_address": "", "mem_limit": "memory",
    "mem_reservation": "memory-reservation", "memswap_limit": "memory-swap", "pid_mode": "pid",
    "oom_kill_disable": "", "oom_score_adj": "", "pids_limit": "", "platform": "",
    "privileged": "", "runtime": "", "stop_signal": "", "user": "", "userns_mode": "userns",
    "uts_mode": "uts", "volume_driver": "", "working_dir": "workdir", "blkio_weight": "",
    "blkio_weight_device": "",
}  # fmt: skip
"""Arguments of Docker's Python package → option of `docker run`; "" is the same with dashes."""


def launch_mode(analysis: Analysis, node: Node) -> Said | None:
    """Where Triton runs."""
    if values.word(node.value, LAUNCH_MODES) == "c_api":
        return done("a server of its own, called over the network as applications do")
    return None


def repository(analysis: Analysis, node: Node) -> Said | None:
    """`model_repository`."""
    if analysis.launch == "remote":
        return not_needed("the server that runs has its own")
    path = analysis.draft.relative(text(node))
    analysis.put("backends.server.repository", path, "model_repository", node.mark)
    return None


def client_protocol(analysis: Analysis, node: Node) -> None:
    """http or grpc."""
    found = values.word(node.value, ("http", "grpc"))
    analysis.put("backends.protocol", found, "client_protocol", node.mark)


def endpoint(of: str) -> Rule:
    """`triton_http_endpoint` and `triton_grpc_endpoint`: a url, or the port of our server."""

    def rule(analysis: Analysis, node: Node) -> Said | None:
        address = text(node).rpartition("://")[2].rstrip("/")
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal():
            raise BadValueError(f"expected host:port, found '{node.value}'")
        name = f"triton_{of}_endpoint"
        if analysis.launch != "remote":
            analysis.put(f"backends.server.{of}_port", int(port), name, node.mark)
            return done("", f"backends.server.{of}_port")
        if of != analysis.protocol:
            return not_needed(f"requests travel over {analysis.protocol}")
        analysis.put("backends.server.url", address, name, node.mark)
        return None

    return rule


def metrics_url(analysis: Analysis, node: Node) -> Said | None:
    """Where a server that runs has its metrics."""
    if analysis.launch != "remote":
        return not_needed("the harness knows where its server has them")
    analysis.put("backends.server.metrics_url", text(node), "triton_metrics_url", node.mark)
    return None


def server_path(analysis: Analysis, node: Node) -> Said | None:
    """A tritonserver to run; a bare name is the harness's own."""
    if analysis.launch not in ("local", "c_api"):
        return not_needed(f"not used in {analysis.launch} mode")
    if "/" not in text(node):
        return not_needed("a name without a path; the harness brings a tritonserver")
    path = analysis.draft.relative(text(node))
    analysis.put("backends.server.binary", path, "triton_server_path", node.mark)
    return None


def reload_disable(analysis: Analysis, node: Node) -> Said | None:
    """Remote: whether models are loaded and unloaded."""
    kept = values.boolean(node.value)
    if analysis.launch != "remote":
        return not_needed("for remote mode")
    analysis.put("backends.server.load", not kept, "reload_model_disable", node.mark)
    return None


def docker(key: str, name: str) -> Rule:
    """A key of `server.docker`, in docker mode."""

    def rule(analysis: Analysis, node: Node) -> Said | None:
        if analysis.launch != "docker":
            return not_needed(f"not used in {analysis.launch} mode")
        value: object = text(node) if key in ("image", "shm_size") else node.data()
        if key == "shm_size":
            value = _docker_size(str(value))
        elif key == "mounts":
            value = values.words(value)
        analysis.put(f"backends.server.docker.{key}", value, name, node.mark)
        return None

    return rule


def _docker_size(written: str) -> str:
    found = re.fullmatch(r"\s*([0-9]+)\s*([bkmgBKMG]?)[bB]?\s*", written)
    if not found:
        raise BadValueError(f"expected a size like 1g, found '{written}'")
    units = {"": "B", "b": "B", "k": "KiB", "m": "MiB", "g": "GiB"}
    return f"{found[1]}{units[found[2].lower()]}"


def _docker_option(analysis: Analysis, option: str, name: str, mark: Mark) -> None:
    known = analysis.draft.get("backends.server.docker.args")
    more = [*(known if isinstance(known, list) else []), option]
    analysis.put("backends.server.docker.args", more, name, mark)


def docker_labels(analysis: Analysis, node: Node) -> Said | None:
    """`--label`s."""
    labels = mapping(node)
    if analysis.launch != "docker":
        return not_needed(f"not used in {analysis.launch} mode")
    for name, entry in labels.items():
        option = f"--label={name}={text(entry.node)}"
        _docker_option(analysis, option, "triton_docker_labels", node.mark)
    return None


def docker_args(analysis: Analysis, node: Node) -> Said | None:
    """Arguments of Docker's Python package as options of `docker run`."""
    if analysis.launch != "docker":
        return not_needed(f"not used in {analysis.launch} mode")
    own = {"volumes": "mounts", "network": "network", "network_mode": "network", "image": "image",
           "shm_size": "shm_size"}  # fmt: skip
    left = []
    for name, entry in mapping(node).items():
        if name in own:
            value = entry.node.data()
            shown = _docker_size(str(value)) if name == "shm_size" else str(value)
            found = values.words(value) if name == "volumes" else shown
            analysis.put(f"backends.server.docker.{own[name]}", found, name, entry.key)
        elif name in DOCKER_ARGS:
            flag = f"--{DOCKER_ARGS[name] or name.replace('_', '-')}"
            data = entry.node.data()
            for item in data if isinstance(data, list) else [data]:
                said = str(item).lower() if isinstance(item, bool) else item
                _docker_option(analysis, f"{flag}={said}", f"triton_docker_args.{name}", entry.key)
        else:
            left.append(name)
    return done(f"without {', '.join(left)}: the harness sets them itself") if left else None


def server_flags(analysis: Analysis, node: Node) -> Said | None:
    """Arguments of tritonserver."""
    if analysis.launch == "remote":
        return refused("the server runs already; start it with these")
    left = []
    for name, entry in mapping(node).items():
        flag = f"--{name.replace('_', '-')}"
        if flag in OWN_OPTIONS or flag.removesuffix("-port") != flag:
            left.append(flag)
            continue
        value = entry.node.data()
        if isinstance(value, bool):
            value = str(int(value)) if "verbose" in name else str(value).lower()
        known = analysis.draft.get("backends.server.args")
        args = [a for a in known if not a.startswith(f"{flag}=")] if isinstance(known, list) else []
        analysis.put("backends.server.args", [*args, f"{flag}={value}"],
                     "triton_server_flags", node.mark)  # fmt: skip
    return done(f"without {', '.join(left)}: the harness sets them itself") if left else None


def environment(analysis: Analysis, node: Node) -> Said | None:
    """Variables of the server."""
    if analysis.launch == "remote":
        return refused("the server runs already; start it with these")
    found = {name: str(entry.node.data()) for name, entry in mapping(node).items()}
    known = analysis.draft.get("backends.env")
    merged = {**(known if isinstance(known, dict) else {}), **found}
    analysis.put("backends.env", merged, "triton_server_environment", node.mark)
    return done("values stand in the scenario: no place for secrets")


def gpus(analysis: Analysis, node: Node) -> Said | None:
    """Which GPUs the server sees."""
    found = values.words(node.data()) if node.data() != [] else []
    if found == ["all"]:
        return not_needed("all is the default")
    if analysis.launch == "remote":
        return refused("the server runs already, on its own GPUs")
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(found)}
    if analysis.launch == "docker" and found:
        analysis.put(
            "backends.server.docker.gpus", f'"device={",".join(found)}"', "gpus", node.mark
        )
        return done("", "backends.server.docker.gpus")
    known = analysis.draft.get("backends.env")
    merged = {**(known if isinstance(known, dict) else {}), **visible}
    analysis.put("backends.env", merged, "gpus", node.mark)
    return None
