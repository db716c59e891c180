"""A soak of the real server under `harness stress`: what grows, the server or the harness?

    .venv/bin/python benchmarks/stress_soak.py --minutes 62 --page docs/benchmarks

An embedded Triton with scenarios/models/tiny-mlp.onnx on ONNX Runtime, a constant rate over gRPC,
for as long as is said; the verdicts, slopes and intervals are those of the run's own results.json.
No soak of less than an hour is said to leak, and the intervals of a short one are wide.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from perf_analyzer import command_line, cpu_name

from harness.system.files import read_bytes

ROOT = Path(__file__).parents[1]
MOST = 10.0
"""MiB an hour that the harness itself may grow by."""
SCENARIO = """scenario: soak
model: {{name: tiny-mlp, source: {{onnx: "{model}"}}}}
backends: [{{kind: triton, protocol: grpc, serve: onnxruntime, threads: 1}}]
measurement: {{profile: quick}}
stress:
  shape: {{soak: {{rate: {rate}, duration: {minutes}m}}}}
"""


def soak(minutes: float, rate: float, output: Path) -> dict[str, object]:
    """results.json of a run."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "soak.yaml"
        model = ROOT / "scenarios" / "models" / "tiny-mlp.onnx"
        path.write_text(SCENARIO.format(model=model, rate=rate, minutes=minutes), encoding="utf-8")
        command = [sys.executable, "-m", "harness", "stress", str(path), "-o", str(output)]
        subprocess.run(command, check=False)
    found: dict[str, object] = json.loads(read_bytes(output / "results.json"))
    return found


def page(found: dict[str, object], minutes: float, rate: float) -> str:
    growth, answers = found["growth"], found["answers"]
    assert isinstance(growth, dict)
    assert isinstance(answers, dict)
    lines = [
        "# A soak of the real server\n",
        f"Written by `{command_line()}` on {cpu_name()}: {minutes:g} minutes at {rate:g} requests "
        f"a second; {answers['requests']:,} requests, {answers['failures']:,} failed, p99 "
        f"{float(answers['p99_ms']):.3g} ms.\n",
        "| of | verdict | MiB an hour, second half | 95 % interval |", "|---|---|---|---|",
    ]  # fmt: skip
    lines += [f"| {name} | {g['kind']} | {float(g['slope']):.3g} | {float(g['low']):.3g} – "
              f"{float(g['high']):.3g} |" for name, g in growth.items()]  # fmt: skip
    if ours := growth.get("harness"):
        low, high = float(ours["low"]), float(ours["high"])
        says = "at most" if high <= MOST else "more than" if low > MOST else "perhaps"
        lines.append(f"\nThe harness's own memory grows by {says} {MOST:g} MiB an hour.")
    else:
        lines.append("\nToo short a soak for a word on growth.")
    sentences = found["sentences"]
    assert isinstance(sentences, list)
    return "\n".join([*lines, "\n## In its own words\n", *(f"* {text}" for text in sentences), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=62.0)
    parser.add_argument("--rate", type=float, default=50.0)
    parser.add_argument("--page", type=Path, help="folder for stress-soak.md")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(options.minutes, options.rate, Path(folder) / "run")
    text = page(found, options.minutes, options.rate)
    print(text)
    if options.page:
        (options.page / "stress-soak.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
