#!/usr/bin/env python3
# SPDX-License-Identifier: MPL-2.0
"""Runs `dfer analyze` over the videos listed in a file, in shards, as tasks of a Ray cluster, and merges the records.

The program, the list and the videos have to lie at the same paths on every node, and OUT on storage that all of them share.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import ray


@ray.remote(num_cpus=1, max_retries=2)
def analyze(dfer: str, inputs: str, shard: int, of: int, output: str) -> tuple[int, int, str, str]:
    """One shard: its number, exit status, what it said, and the node that ran it. A worker that dies is replaced by Ray."""
    done = subprocess.run([dfer, "analyze", "--inputs", inputs, "--shard", f"{shard}/{of}", "-o", output],
                          stderr=subprocess.PIPE, text=True)
    return shard, done.returncode, done.stderr, ray.get_runtime_context().get_node_id()


def main() -> int:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("inputs", type=Path, help="file with the path of a video on each line")
    p.add_argument("out", type=Path, help="folder for records.jsonl and the records of each shard")
    p.add_argument("--shards", type=int, help="their number (default: four for each processor of the cluster)")
    p.add_argument("--dfer", default="dfer", help="the program")
    p.add_argument("--address", default="auto", help="of the cluster")
    args = p.parse_args()
    ray.init(address=args.address, log_to_driver=False)
    shards = args.shards or 4 * int(ray.cluster_resources().get("CPU", 1))
    args.out.mkdir(parents=True, exist_ok=True)
    parts = [args.out.resolve() / f"part-{n:05}.jsonl" for n in range(1, shards + 1)]
    begin, nodes, failed = time.monotonic(), set(), 0
    waiting = [analyze.remote(args.dfer, str(args.inputs.resolve()), n, shards, str(part)) for n, part in enumerate(parts, 1)]
    while waiting:
        (ready,), waiting = ray.wait(waiting)
        shard, status, said, node = ray.get(ready)
        nodes.add(node)
        failed += status != 0
        print(f"shard {shard}/{shards}: exit status {status}", flush=True)
        if status != 0:
            print(said, end="", file=sys.stderr)
    print(f"{shards} shards on {len(nodes)} nodes in {time.monotonic() - begin:.1f} s")
    merged = subprocess.run([args.dfer, "merge", "-o", args.out / "records.jsonl", *(part for part in parts if part.exists())])
    return 1 if failed or merged.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
