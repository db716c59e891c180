"""A script run as the driver of a Ray cluster of two nodes, which are processes of this machine.

    python tests/support/ray_cluster.py SCRIPT ARGUMENTS…

It needs Ray alone. Each node has one CPU, and the head none.
"""

from __future__ import annotations

import runpy
import sys

import ray
from ray.cluster_utils import Cluster


def main() -> None:
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address)
    sys.argv = sys.argv[1:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    main()
