"""Every option that Model Analyzer takes, by section; for the Python that it is installed for.

    ~/.cache/inference-harness/model_analyzer-1.58.0/bin/python -P \\
        benchmarks/model_analyzer_options.py > tests/data/model_analyzer_options.txt

(`-P`: this folder has a model_analyzer.py of its own.)

The list is read from its own configuration classes, so that it is complete. A test compares
docs/model-analyzer.md with it.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterable
from typing import Any

from model_analyzer.cli.cli import CLI
from model_analyzer.config.input.config_command_profile import ConfigCommandProfile
from model_analyzer.config.input.config_command_report import ConfigCommandReport
from model_analyzer.config.input.objects.config_model_profile_spec import ConfigModelProfileSpec
from model_analyzer.perf_analyzer.genai_perf_config import GenaiPerfConfig
from model_analyzer.perf_analyzer.perf_config import PerfAnalyzerConfig
from model_analyzer.record.record import RecordType


def constraints(config: ConfigCommandProfile) -> Iterable[str]:
    return config.get_config()["constraints"]._field_type._schema.keys()


def flags(parser: Any) -> Iterable[str]:
    return [action.dest for action in parser._actions if action.dest not in ("help", "subcommand")]


def main() -> None:
    profile, report, cli = ConfigCommandProfile(), ConfigCommandReport(), CLI()
    cli.add_subcommand(cmd="profile", help="")  # has the options that every subcommand has
    model = ConfigModelProfileSpec.__init__.__code__
    sections: dict[str, Iterable[str]] = {
        "global": [*flags(cli._parser), *flags(cli._subparsers.choices["profile"])],
        "profile": profile.get_config().keys(),
        "report": report.get_config().keys(),
        "profile_models": model.co_varnames[2 : model.co_argcount],
        "constraints": constraints(profile),
        "metrics": sorted(RecordType.get_all_record_types()),
        "perf_analyzer_flags": PerfAnalyzerConfig.allowed_keys(),
        "genai_perf_flags": GenaiPerfConfig.allowed_keys(),
    }
    print(f"# triton-model-analyzer {importlib.metadata.version('triton-model-analyzer')}")
    print("# made by benchmarks/model_analyzer_options.py; don't edit by hand")
    for section, names in sections.items():
        print(f"\n[{section}]")
        print("\n".join(names))


if __name__ == "__main__":
    main()
