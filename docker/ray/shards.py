"""One scenario over the GPUs of a Ray cluster: each task is a shard of the rounds.

    ray job submit --address http://HEAD:8265 --working-dir . -- \
        python docker/ray/shards.py scenario.yaml /shared/runs --shards 4 --gpus 1

The folder must be one that all nodes see, and each node must have the harness and, where the driver
runs, Ray (`pip install 'inference-harness[ray]'`). A task runs `harness run --shard K/N`, the same
as in the files for Kubernetes and SLURM. A task whose node is lost is started again, and goes on
with what its shard lacks; on another GPU the shard begins anew beside it, and `merge` takes the
fuller one. At the end the shards are merged into FOLDER/merged; submitted again after a driver that
died, it goes on.
"""

from __future__ import annotations

import argparse
import ctypes
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import ray

RETRIES = 3
PR_SET_PDEATHSIG = 1
FAILED_POINTS = (0, 1, 4, 5)
"""Exit codes of a shard that was measured to its end, whatever was found."""


def _end_with_ray() -> None:
    """In the child: it gets SIGTERM when the worker that started it is gone, and writes what it
    has.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def measure(argv: Sequence[str]) -> tuple[int, str]:
    """One shard, in a task of Ray: the exit code, and the node it ran on."""
    node = ray.get_runtime_context().get_node_id()
    done = subprocess.run(argv, check=False, preexec_fn=_end_with_ray)
    if done.returncode not in FAILED_POINTS:
        raise RuntimeError(f"exit code {done.returncode} of: {shlex.join(argv)}")
    return done.returncode, node


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure all shards and merge them; the exit code of `harness merge`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", type=Path)
    parser.add_argument("folder", type=Path, help="one that all nodes see")
    parser.add_argument("--shards", type=int, required=True, help="N: as many as GPUs, or more")
    parser.add_argument("--gpus", type=float, default=1, help="of each shard; 0 without a GPU")
    parser.add_argument("--cpus", type=float, default=4, help="of each shard")
    parser.add_argument("--command", default="harness", help="how the harness is started on a node")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    asked = parser.parse_args(arguments)
    folder, scenario = asked.folder.resolve(), asked.scenario.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    ray.init(ignore_reinit_error=True)
    task = ray.remote(
        num_gpus=asked.gpus, num_cpus=asked.cpus, scheduling_strategy="SPREAD",
        max_retries=RETRIES, retry_exceptions=[RuntimeError],
    )(measure)  # fmt: skip
    command = shlex.split(asked.command)
    sets = [word for text in asked.set for word in ("--set", text)]
    waiting = {
        task.remote(
            [*command, "run", str(scenario), *sets, "--shard", f"{k}/{asked.shards}", "--output",
             str(folder / f"shard-{k}"), "--no-report", "--quiet"]
        ): k
        for k in range(asked.shards)
    }  # fmt: skip
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        shard = waiting.pop(done)
        code, node = ray.get(done)
        print(f"shard {shard}/{asked.shards}: exit code {code}, on node {node[:8]}", flush=True)
    merged = folder / "merged"
    if (merged / "manifest.json").exists():
        print(f"merged before: {merged}")
        return 0
    shards = map(str, sorted(folder.glob("shard-*")))
    return subprocess.run(
        [*command, "merge", *shards, "--output", str(merged)], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
