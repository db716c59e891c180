"""The environment: machine, software and versions, and the scenario as it was written."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from harness.report.model.blocks import Table, listing, word
from harness.report.model.context import Context
from harness.report.model.labels import listed
from harness.report.model.manifest_facts import (
    Json,
    cpu_line,
    gib_text,
    gpus,
    mapping,
    number,
    sequence,
    text,
)
from harness.report.model.runtimes import runtimes
from harness.report.model.section import Block, Code, Section, TableBlock, Text, titled


def section(context: Context) -> Section:
    """What the numbers depend on."""
    scenario = text(context.manifest, "scenario_text", default="")
    path = text(context.manifest, "scenario_path", default="")
    written = f"cenario as written{path and f', {path}'}"
    source: list[Block] = (
        [Code(scenario, f"S{written}", f"The s{written}", only="appendix")] if scenario else []
    )
    if source and (changes := [str(o) for o in sequence(context.manifest, "overrides")]):
        source.insert(0, Text(f"The scenario had these changes (--set): {listed(changes)}."))
    table = TableBlock(machine_table(context), style="pairs")
    packages = ("Packages", packages_table(context))
    versions = titled(packages, style="pairs", only="appendix", folded=True)
    return Section("environment", "Environment", (table, *versions, *source))


def machine_table(context: Context) -> Table:
    """Machine, software and versions, a row a fact."""
    manifest = context.manifest
    git = mapping(manifest, "git")
    commit = text(git, "commit") + (" with local changes" if git.get("dirty") else "")
    command = shlex.join(map(str, sequence(manifest, "command")))
    seeds = [f"{name} {seed}" for name, seed in sorted(mapping(manifest, "seeds").items())]
    facts = [
        ("Harness", text(manifest, "harness_version")),
        ("Git commit", commit),
        ("Command", command or text(manifest, "command")),
        *_parts(manifest),
        ("Run started", text(manifest, "created")),
        ("Host", text(manifest, "machine", "hostname")),
        ("Operating system", text(manifest, "machine", "os")),
        ("Kernel", text(manifest, "machine", "kernel")),
        ("CPU", cpu_line(manifest)),
        ("Memory", gib_text(number(mapping(manifest, "machine"), "memory_mib"))),
        *_gpu_facts(context),
        ("Python", text(manifest, "machine", "python")),
        *runtimes(context),
        ("Seeds", listed(seeds) or "unknown"),
    ]
    return listing(facts, {"What": lambda f: word(f[0]), "Value": lambda f: word(f[1])})


def packages_table(context: Context) -> Table:
    """Every package that was there, with its version."""
    found = sorted(mapping(context.manifest, "packages").items())
    return listing(found, {
        "Package": lambda f: word(str(f[0])), "Version": lambda f: word(str(f[1])),
    })  # fmt: skip


def _parts(manifest: Json) -> Iterator[tuple[str, str]]:
    """What a merged run is made of: where each part was measured, and by which command."""
    whole = sequence(manifest, "command")
    for n, part in enumerate(sequence(manifest, "shards"), 1):
        shard, command = text(part, "shard"), sequence(part, "command")
        typed = "" if command == whole else f": {shlex.join(map(str, command))}"
        rounds = [str(r + 1) for r in sequence(part, "rounds") if isinstance(r, int)]
        title = f"Run {n}" if shard.endswith("/1") else f"Shard {shard}"
        yield title, f"{text(part, 'block')}, round{'s'[len(rounds) < 2 :]} {listed(rounds)}{typed}"


def _gpu_facts(context: Context) -> list[tuple[str, str]]:
    return [
        (
            f"GPU {gpu.get('index', i)}",
            f"{text(gpu, 'name')}, {gib_text(number(gpu, 'memory_mib'))}, driver "
            f"{text(gpu, 'driver')}, CUDA {text(gpu, 'cuda')}, {text(gpu, 'uuid')}",
        )
        for i, gpu in enumerate(gpus(context.manifest))
    ] or [("GPU", "none")]
