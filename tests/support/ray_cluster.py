"""A script run as the driver of a Ray cluster whose nodes are processes of this machine.

    python tests/support/ray_cluster.py [--lose JOURNAL TEXT] SCRIPT ARGUMENTS…

It needs Ray alone. The head has no CPU and each of two nodes has one. With `--lose` there is a
third, and as soon as JOURNAL says that something was measured, the node on which TEXT is among a
process's arguments is killed, as a machine that loses its power.
"""

from __future__ import annotations

import runpy
import sys
import threading
import time
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

LONGEST = 120
"""Seconds until something must have been measured."""


def parents(text: str) -> set[int]:
    """Processes whose arguments hold the text, and all above them."""
    found: set[int] = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            pid = int(folder.name) if text.encode() in words else 0
            while pid > 1:
                found.add(pid)
                pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
    return found


def lose(cluster: Cluster, journal: Path, text: str) -> None:
    """Waits, and kills the node; says which."""
    end = time.monotonic() + LONGEST
    while time.monotonic() < end:
        if journal.exists() and b'"event": "measurement"' in journal.read_bytes():
            above = parents(text)
            for node in list(cluster.worker_nodes):
                if {p.process.pid for p in node.all_processes["raylet"]} & above:
                    print(f"lost node {node.node_id[:8]}", flush=True)
                    cluster.remove_node(node, allow_graceful=False)
                    return
        time.sleep(0.02)


def main() -> None:
    words = sys.argv[1:]
    journal, text = (words[1], words[2]) if words[0] == "--lose" else ("", "")
    sys.argv = words[3:] if journal else words
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(3 if journal else 2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address)
    if journal:
        losing = threading.Thread(target=lose, args=(cluster, Path(journal), text), daemon=True)
        losing.start()
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
