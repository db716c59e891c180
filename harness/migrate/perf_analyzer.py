"""perf_analyzer: every option with what becomes of it, and its command line as a scenario.

    made = translate(["-m", "resnet50", "--concurrency-range", "1:4"], directory)
    made.text()

Facts are those of perf_analyzer's command line reference of December 2025.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.migrate import perf_loads as loads
from harness.migrate import perf_rules as rules
from harness.migrate.arguments import SOURCE, Given, Spelling, read
from harness.migrate.command import Command, Rule
from harness.migrate.draft import Draft
from harness.migrate.table import Row, Status
from harness.results.grouping import grouped
from harness.scenario.reading.tree import Mark
from harness.scenario.writing import scenario_name

_SEQUENCES = "sequence models are refused: their requests depend on each other"
_TOKENS = "for chats and generated tokens, which are not measured"
_FILES = "every request's times are in the run directory; `harness report` writes HTML, PDF and CSV"
_SERVING = "for other servers than Triton"
_TRACE = "Triton's traces are not switched on; queue and compute times are read from its statistics"


def _row(
    names: str, status: Status, here: str, note: str = "", rule: Rule | None = None
) -> tuple[str, Row[Command]]:
    """A line of the table. `names`: that of the table first, then all its spellings; `=` behind
    the last one says that a value follows.
    """
    _, *spelled = names.removesuffix("=").split()
    return names, Row(tuple(spelled), status, here, note, rule)


_LINES = (
    _row("protocol -i=", "translated", "backends.protocol", "", rules.protocol),
    _row("service-kind --service-kind=", "translated", "backends.kind",
         "`triton`, or `triton_c_api` with a repository; others can't be called and end the import",
         rules.service_kind),
    _row("model-name -m=", "translated", "model.name, model.source.triton", "", rules.model),
    _row("model-version -x=", "translated", "backends.version", "", rules.version),
    _row("url -u=", "translated", "backends.server.url", "default: localhost, port 8000 or 8001",
         rules.url),
    _row("model-repository --model-repository=", "translated", "backends.server.repository",
         "of triton_c_api: the harness starts a server with it", rules.repository),
    _row("triton-server-directory --triton-server-directory=", "refused", "",
         "of triton_c_api; name a tritonserver in `backends.server.binary`"),
    _row("bls-composing-models --bls-composing-models=", "translated", "backends.composing", "",
         rules.composing),
    _row("model-signature-name --model-signature-name=", "refused", "", _SERVING),
    _row("grpc-method --grpc-method=", "refused", "", _SERVING),
    _row("proto --proto=", "refused", "", _SERVING),
    _row("endpoint --endpoint=", "refused", "", _SERVING),
    _row("help -h --help -?", "not needed", "", "`harness import --help`"),
    _row("version --version", "not needed", "", "the manifest of a run has every version"),
    _row("verbose -v", "not needed", "", "`harness explain` says everything about a point"),
    # loads
    _row("batch-size -b=", "translated", "load.batch_sizes", "", rules.batch),
    _row("concurrency-range --concurrency-range=", "translated", "load.concurrency",
         "every value of the range; without an end, powers of two", loads.concurrency),
    _row("concurrent-requests -t=", "translated", "load.concurrency", "deprecated there",
         loads.old_concurrency),
    _row("max-concurrency -c=", "translated", "load.concurrency", "deprecated there: from -t to it",
         loads.old_concurrency),
    _row("dynamic-concurrency -d", "not needed", "", "every concurrency of the list is measured"),
    _row("request-distribution --request-distribution=", "translated", "load.arrivals",
         "default there: constant, so that is what is written", loads.distribution),
    _row("request-rate-range --request-rate-range=", "translated",
         "load.request_rate, load.find_capacity",
         "every value of the range; with --binary-search or without an end, a search for the "
         "highest rate", loads.rate),
    _row("binary-search --binary-search", "translated", "load.find_capacity",
         "of rates; over concurrency both ends and the powers of two between are measured"),
    _row("request-intervals --request-intervals=", "translated", "load.trace",
         "its gaps become arrival times in a file beside the scenario", loads.intervals),
    _row("percentile --percentile=", "translated", "constraints",
         "names the percentile of the threshold; all percentiles are reported", loads.percentile),
    _row("latency-threshold -l --latency-threshold=", "translated",
         "constraints, load.find_capacity",
         "a constraint: loads above it are measured too, and are no candidates", loads.threshold),
    _row("max-threads --max-threads=", "not needed", "",
         "the client adds processes by itself (`backends.client_processes`)"),
    _row("async -a --async", "not needed", "", "the client waits for no thread"),
    _row("sync --sync", "not needed", "", "the client waits for no thread"),
    _row("periodic-concurrency-range --periodic-concurrency-range=", "refused", "", _TOKENS),
    _row("request-period --request-period=", "refused", "", _TOKENS),
    _row("session-concurrency --session-concurrency=", "refused", "", _TOKENS),
    _row("fixed-schedule --fixed-schedule", "refused", "",
         "timestamps of a JSON file are not read; write them into a `load.trace`, in seconds"),
    # windows
    _row("measurement-mode --measurement-mode=", "not needed", "",
         "a window has a time and a count at once", loads.mode),
    _row("measurement-interval -p --measurement-interval=", "translated", "measurement.window", "",
         loads.window),
    _row("measurement-request-count --measurement-request-count=", "translated",
         "measurement.window_requests", "", loads.window_requests),
    _row("request-count --request-count=", "translated", "measurement.window_requests", "",
         loads.request_count),
    _row("warmup-request-count --warmup-request-count=", "translated",
         "measurement.warmup_requests", "the profile's warm-up time holds as well", loads.warmup),
    _row("stability-percentage -s --stability-percentage=", "translated", "measurement.targets",
         "half-widths of intervals over rounds, not a spread of three windows", loads.stability),
    _row("max-trials -r --max-trials=", "translated", "measurement.rounds_max",
         "rounds in fresh processes instead of windows until three agree", loads.trials),
    # sequences
    *(_row(f"{name} --{name}=", "refused", "", _SEQUENCES)
      for name in ("num-of-sequences", "sequence-length", "sequence-length-variation",
                   "sequence-id-range")),
    _row("serial-sequences --serial-sequences", "refused", "", _SEQUENCES),
    # inputs
    _row("input-data --input-data=", "refused", "",
         "`random` is the default; for `zero` or files write `model.inputs` with `data`",
         rules.input_data),
    _row("data-directory --data-directory=", "refused", "",
         "deprecated there; write `model.inputs` with `data: {files: […]}`"),
    _row("zero -z", "refused", "", "deprecated there; write `model.inputs` with `data: zeros`"),
    _row("shape --shape=", "translated", "model.dynamic", "sizes of the dynamic dimensions",
         rules.shape),
    _row("string-data --string-data=", "refused", "", "string tensors can't be sent"),
    _row("string-length --string-length=", "refused", "", "string tensors can't be sent"),
    _row("shared-memory --shared-memory=", "translated", "backends.io", "", rules.shared_memory),
    _row("output-shared-memory-size --output-shared-memory-size=", "not needed", "",
         "known from the outputs"),
    _row("input-tensor-format --input-tensor-format=", "refused", "", "always binary",
         rules.tensor_format),
    _row("output-tensor-format --output-tensor-format=", "refused", "", "always binary",
         rules.tensor_format),
    _row("request-parameter --request-parameter=", "refused", "",
         "parameters of a request can't be set"),
    _row("streaming --streaming", "refused", "",
         "decoupled models are refused: they may answer a request many times"),
    _row("grpc-compression-algorithm --grpc-compression-algorithm=", "refused", "",
         "`none` is how it always is", rules.compression),
    # server
    _row("http-header -H=", "translated", "backends.server.headers",
         "for gRPC too; a secret becomes an environment variable", rules.header),
    _row("ssl-grpc-use-ssl --ssl-grpc-use-ssl", "translated", "backends.server.tls", "",
         rules.tls("", "grpc")),
    _row("ssl-https-verify-peer --ssl-https-verify-peer=", "translated",
         "backends.server.tls.verify", "peer and host at once", rules.tls("verify", "http")),
    _row("ssl-https-verify-host --ssl-https-verify-host=", "translated",
         "backends.server.tls.verify", "peer and host at once", rules.tls("verify", "http")),
    *(_row(f"{name} --{name}=", "translated", f"backends.server.tls.{key}", "",
           rules.tls(key, "grpc" if "grpc" in name else "http"))
      for name, key in (("ssl-grpc-root-certifications-file", "ca"),
                        ("ssl-grpc-private-key-file", "key"),
                        ("ssl-grpc-certificate-chain-file", "cert"),
                        ("ssl-https-ca-certificates-file", "ca"),
                        ("ssl-https-client-certificate-file", "cert"),
                        ("ssl-https-private-key-file", "key"))),
    _row("ssl-https-client-certificate-type --ssl-https-client-certificate-type=", "refused", "",
         "PEM only", rules.pem),
    _row("ssl-https-private-key-type --ssl-https-private-key-type=", "refused", "", "PEM only",
         rules.pem),
    _row("metrics-url --metrics-url=", "translated", "backends.server.metrics_url", "",
         rules.metrics_url),
    _row("collect-metrics --collect-metrics", "translated", "backends.server.metrics_url",
         "always collected where the address is known", rules.collect_metrics),
    _row("metrics-interval --metrics-interval=", "not needed", "",
         "read at both ends of a window, so that differences are the window's"),
    # files
    _row("latency-report-file -f=", "not needed", "", _FILES),
    _row("profile-export-file --profile-export-file=", "not needed", "", _FILES),
    _row("verbose-csv --verbose-csv", "not needed", "", _FILES),
    _row("trace-level --trace-level=", "refused", "", _TRACE, rules.trace),
    *(_row(f"{name} --{name}=", "refused", "", _TRACE)
      for name in ("trace-rate", "trace-count", "log-frequency")),
    _row("enable-mpi --enable-mpi", "refused", "", "one client; several models are `colocated`"),
)  # fmt: skip

TABLE: dict[str, Row[Command]] = {names.split()[0]: row for names, row in _LINES}
"""Every option by the name that Model Analyzer's `perf_analyzer_flags` has for it, in the order in
which they are translated.
"""
SPELLINGS: dict[str, Spelling] = {
    spelled: Spelling(names.split()[0], names.endswith("="))
    for names, row in _LINES
    for spelled in row.names
}
"""How options are written on a command line."""
TAKES_VALUE = {spelling.name: spelling.takes_value for spelling in SPELLINGS.values()}
"""By the table's names, as Model Analyzer has them."""


def translate(argv: Sequence[str], directory: Path, source: str = "perf_analyzer …") -> Draft:
    """The scenario of a command line without its program; mistakes are in `problems`.

    `directory`: of the file that will be written.
    """
    draft = Draft("perf_analyzer", directory, source)
    given = read(argv, SPELLINGS, draft)
    command = Command(draft, grouped(given, lambda option: option.name))
    names = command.given.get("model-name")
    if not names:
        draft.problem(Mark(SOURCE, 1, 1), "-m", "the model's name is missing")
    name = scenario_name(names[-1].value if names and names[-1].value else "model")
    draft.name = f"{name}-perf-analyzer"[:80]
    _defaults(draft, command)
    apply(command)
    return draft


def _defaults(draft: Draft, command: Command) -> None:
    """What perf_analyzer does where nothing is said, in the order of the file."""
    grpc = command.value("protocol").lower() == "grpc"
    draft.put("scenario", draft.name)
    draft.put("model.name", "model")
    draft.put("backends.kind", "triton")
    draft.put("backends.protocol", "http", "perf_analyzer's default")
    draft.put("backends.server.url", f"localhost:{8001 if grpc else 8000}", "its default")
    draft.put("load.batch_sizes", [1], "its default")
    if not command.given.get("request-intervals"):
        draft.put("load.concurrency", [1], "its default")
    draft.put(
        "measurement.profile", "standard", "five rounds or more; quick takes three short ones"
    )


def apply(command: Command) -> None:
    """Translate what was given, in the order of the table; then say it in that of the text."""
    draft = command.draft
    before = len(draft.outcomes)
    for name, row in TABLE.items():
        for option in command.given.get(name, []):
            _one(command, row, option)
    draft.outcomes[before:] = sorted(
        draft.outcomes[before:], key=lambda o: (o.mark.file, o.mark.line, o.mark.column)
    )


def _one(command: Command, row: Row[Command], option: Given) -> None:
    rule = row.rule
    call = (lambda: rule(command, option)) if rule else None
    command.draft.apply(row, option.spelled, option.mark, call)
