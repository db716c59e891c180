import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.rows import measurement
from support.small_disk import mounted

from harness.errors import RunDirectoryError, SetupError, UsageError
from harness.results.events import Note, Reached, RunEnded, RunResumed, RunStarted, UnknownEvent
from harness.results.rows import ArtifactRow, FailureRow, LoadedRow, ParityRow
from harness.results.samples import Samples, write_samples
from harness.results.store import JOURNAL, MANIFEST, SCHEMA_VERSION, RunStore, read_run
from harness.system.files import atomic_write, write_text

FAILURE = FailureRow("a/b1/c1", 0, "a", "raised", "it broke\nbadly")


@pytest.fixture
def run(tmp_path):
    """A closed run directory with three events."""
    path = tmp_path / "run"
    with RunStore.create(path, {"scenario": {"scenario": "x"}}) as store:
        store.append(RunStarted())
        store.append(FAILURE)
        store.append(RunEnded("complete"))
    return path


def events(path):
    return [e.EVENT for e in read_run(path).events]


def in_child(code, *args, **kwargs):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs,
    )  # fmt: skip


def test_what_was_written_is_read(run):
    data = read_run(run)
    assert data.manifest == {"scenario": {"scenario": "x"}}
    assert events(run) == ["run_started", "failure", "run_ended"]
    assert data.failures == [FAILURE]
    assert data.measurements == data.parity == data.rows(ArtifactRow) == data.loads == []
    assert data.complete
    assert {p.name for p in run.iterdir() if p.is_dir()} == {"samples", "telemetry", "logs"}


def test_an_interrupted_run_is_not_complete(tmp_path):
    with RunStore.create(tmp_path / "run", {}) as store:
        store.append(RunEnded("interrupted"))
    assert not read_run(tmp_path / "run").complete


# ------------------------------------------------------------------------------ broken journals


def test_every_truncation_of_the_journal_reads_as_its_whole_lines(run):
    journal = run / JOURNAL
    raw = journal.read_bytes()
    for size in range(len(raw) + 1):
        journal.write_bytes(raw[:size])
        assert len(read_run(run).events) == raw[:size].count(b"\n"), f"cut at byte {size}"


def test_resume_drops_the_line_that_a_kill_cut_short(run):
    journal = run / JOURNAL
    raw = journal.read_bytes()
    for size in range(len(raw)):
        journal.write_bytes(raw[:size])
        store, before = RunStore.resume(run)
        with store:
            store.append(RunResumed())
        assert events(run) == [*(e.EVENT for e in before.events), "run_resumed"], size


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.binary(min_size=1, max_size=40).filter(lambda b: b"\n" not in b))
def test_garbage_after_the_last_newline_is_dropped(run, garbage):
    journal = run / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole + garbage)
    assert len(read_run(run).events) == 3
    RunStore.resume(run)[0].close()
    assert journal.read_bytes() == whole


@pytest.mark.parametrize(
    "garbage", [b"{", b"\x00\x00\x00", b"\xff\xfe", b"[1]", b'"event"', b"{}", b'{"event": 3}', b""]
)
def test_garbage_in_the_middle_is_passed_over_and_said_with_its_line(run, garbage):
    lines = (run / JOURNAL).read_bytes().split(b"\n")
    damaged = b"\n".join([lines[0], garbage, *lines[1:]])
    (run / JOURNAL).write_bytes(damaged)
    store, data = RunStore.resume(run)
    store.close()
    assert data.rows(FailureRow) == [FAILURE]
    (said,) = data.damage
    assert said.startswith("journal.jsonl:2 ")
    assert data.damage == read_run(run).damage
    assert (run / JOURNAL).read_bytes() == damaged


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"throughput": None}, "throughput: "),
        ({"requests": "many"}, "requests: "),
        ({"latency_ms": {"p50": []}}, "latency_ms.p50: "),
        ({"details": {"colocated": 3}}, "details.colocated: "),
    ],
)
def test_a_row_whose_values_have_other_types_is_passed_over(run, changed, said):
    good = measurement().to_event()
    missing = {key: value for key, value in good.items() if key != "throughput"}
    with (run / JOURNAL).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in (missing, {**good, **changed}, good))
    data = read_run(run)
    assert data.measurements == [measurement()]
    assert "journal.jsonl:4 is no journal line that can be read: throughput: " in data.damage[0]
    assert said in data.damage[1]


def test_a_measurement_that_is_there_twice_counts_once(run):
    rows = [measurement(throughput=t, round=r).to_event() for t, r in ((1, 0), (2, 1), (3, 0))]
    with (run / JOURNAL).open("a") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    assert [m.throughput for m in read_run(run).measurements] == [3.0, 2.0]


@pytest.mark.parametrize("depth", [100, 200, 100_000])
def test_what_is_nested_too_deep_is_passed_over(run, depth):
    with (run / JOURNAL).open("a") as file:
        file.write('{"event": "note", "text": "", "x": ' + "[" * depth + "]" * depth + "}\n")
    assert read_run(run).damage
    (run / MANIFEST).write_text('{"x": ' + "[" * depth + "]" * depth + "}")
    with pytest.raises(RunDirectoryError, match=r"manifest\.json can't be read"):
        read_run(run)


@pytest.mark.parametrize("version", [SCHEMA_VERSION - 1, SCHEMA_VERSION + 1, "3", 2.5, None])
def test_another_version_of_the_format_is_refused_with_both_and_who_reads_it(run, version):
    manifest = json.loads((run / MANIFEST).read_text())
    other = {**manifest, "schema_version": version, "harness_version": "0.0.7"}
    (run / MANIFEST).write_text(json.dumps(other))
    for read in (read_run, RunStore.resume):
        with pytest.raises(RunDirectoryError) as caught:
            read(run)
        assert f"has version {version} of the format" in caught.value.message
        assert f"knows version {SCHEMA_VERSION} alone" in caught.value.message
        assert "0.0.7" in str(caught.value.fix)
    (run / MANIFEST).write_text(json.dumps({**manifest, "schema_version": SCHEMA_VERSION}))
    assert read_run(run).complete


def test_a_line_of_a_newer_version_is_kept_and_passed_over(run):
    with (run / JOURNAL).open("a") as file:
        file.write('{"event": "dreamed", "of": "sheep"}\n')
    RunStore.resume(run)[0].close()
    data = read_run(run)
    assert data.events[-1] == UnknownEvent("dreamed", {"event": "dreamed", "of": "sheep"})
    assert data.complete
    assert '"of": "sheep"' in (run / JOURNAL).read_text()


def test_a_run_without_a_journal_has_no_events(run):
    (run / JOURNAL).unlink()
    assert read_run(run).events == ()
    store, data = RunStore.resume(run)
    with store:
        store.append(Note("x"))
    assert data.events == ()
    assert events(run) == ["note"]


# --------------------------------------------------------------------------- not a run directory


def test_a_directory_without_manifest_is_no_run_and_stays_as_it_is(tmp_path):
    for call in (read_run, RunStore.resume):
        with pytest.raises(RunDirectoryError, match="is not a run directory") as caught:
            call(tmp_path)
        assert caught.value.fix
    assert list(tmp_path.iterdir()) == []


def test_a_file_or_nothing_is_no_run(tmp_path):
    (tmp_path / "file").write_text("x")
    for name in ("file", "missing"):
        with pytest.raises(RunDirectoryError, match="is not a run directory"):
            read_run(tmp_path / name)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "\x00"])
def test_a_broken_manifest_is_an_error(run, text):
    (run / MANIFEST).write_text(text)
    with pytest.raises(RunDirectoryError, match=r"manifest\.json"):
        read_run(run)


def test_create_refuses_a_run_and_says_how_to_resume(run):
    before = (run / MANIFEST).read_bytes(), (run / JOURNAL).read_bytes()
    with pytest.raises(RunDirectoryError, match="already holds a run") as caught:
        RunStore.create(run, {"new": True})
    assert caught.value.fix == f"harness run --resume {run}, or give another --output"
    assert before == ((run / MANIFEST).read_bytes(), (run / JOURNAL).read_bytes())


def test_a_path_in_what_to_type_is_quoted(run):
    odd = run.rename(run.parent / "it's $(b)")
    with pytest.raises(RunDirectoryError) as caught:
        RunStore.create(odd, {})
    command = caught.value.fix.removesuffix(", or give another --output")
    assert shlex.split(command) == ["harness", "run", "--resume", str(odd)]


def test_create_refuses_other_people_s_files(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunDirectoryError, match="is not empty"):
        RunStore.create(tmp_path, {})
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]


def test_create_takes_what_a_run_killed_before_its_manifest_left(tmp_path):
    RunStore.create(tmp_path, {}).close()
    (tmp_path / MANIFEST).unlink()
    RunStore.create(tmp_path, {"second": True}).close()
    assert read_run(tmp_path).manifest == {"second": True}


def test_create_below_a_file_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(RunDirectoryError, match="can't be made a run directory"):
            RunStore.create(path, {})


# ------------------------------------------------------------------------------------- the lock

HOLD = """
import sys
from pathlib import Path
from harness.results.store import RunStore
path = Path(sys.argv[1])
store = RunStore.resume(path)[0] if path.exists() else RunStore.create(path, {})
print("held", flush=True)
sys.stdin.read()
"""


def test_another_process_can_t_write_but_can_read(tmp_path):
    with in_child(HOLD, tmp_path / "run") as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunDirectoryError, match="another harness is writing"):
            RunStore.resume(tmp_path / "run")
        assert read_run(tmp_path / "run").events == ()
        holder.kill()
    store, _ = RunStore.resume(tmp_path / "run")  # the lock died with its holder
    store.close()


def test_the_same_process_can_t_open_it_twice(run):
    store, _ = RunStore.resume(run)
    with store, pytest.raises(RunDirectoryError, match="another harness"):
        RunStore.resume(run)
    RunStore.resume(run)[0].close()


def test_a_failed_resume_lets_the_lock_go(run):
    raw = (run / JOURNAL).read_bytes()
    (run / JOURNAL).unlink()
    (run / JOURNAL).mkdir()
    with pytest.raises((RunDirectoryError, OSError)):
        RunStore.resume(run)
    (run / JOURNAL).rmdir()
    (run / JOURNAL).write_bytes(raw)
    RunStore.resume(run)[0].close()


def test_a_child_that_outlives_the_harness_does_not_keep_the_lock(run):
    store, _ = RunStore.resume(run)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        store.close()
        RunStore.resume(run)[0].close()
    finally:
        child.kill()
        child.wait()


def test_closing_twice_is_no_error_and_closes_nothing_else(run):
    store, _ = RunStore.resume(run)
    store.close()
    with (run / "other").open("w") as other:  # takes a descriptor that the store had
        store.close()
        other.write("x")


# ------------------------------------------------------------------------------- append, for real

ENDLESS = """
import sys
from pathlib import Path
from harness.results.events import Note
from harness.results.store import RunStore
with RunStore.create(Path(sys.argv[1]), {}) as store:
    for number in range(10**9):
        store.append(Note(f"{number} " + "x" * 5000))
        print(number, flush=True)
"""


def test_kill_9_loses_no_line_whose_append_returned(tmp_path):
    with in_child(ENDLESS, tmp_path / "run") as writer:
        for _ in range(20):
            writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        reported = 20 + len(writer.stdout.readlines())
    numbers = [int(e.text.split()[0]) for e in read_run(tmp_path / "run").events]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= reported - 1  # the last printed line may itself be cut


def test_threads_share_a_store(tmp_path):
    with RunStore.create(tmp_path / "run", {}) as store:

        def write(who):
            for number in range(20):
                store.append(Note(f"{who} {number} " + "y" * 3000))

        threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [e.text.split() for e in read_run(tmp_path / "run").events]
    for who in range(4):
        assert [int(number) for by, number, _ in found if int(by) == who] == list(range(20))


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from harness.errors import SetupError
from harness.results.events import Note
from harness.results.store import RunStore
store = RunStore.create(Path(sys.argv[1]), {})
store.append(Note("before"))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    store.append(Note("y" * 5000))
except SetupError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
store.append(Note("after"))
"""


def test_a_line_that_does_not_fit_leaves_the_journal_whole(tmp_path):
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    with in_child(FULL_DISK, tmp_path / "run") as writer:
        out, err = writer.communicate()
    assert writer.returncode == 0, err
    assert "can't be written" in out
    assert "--resume" in out
    assert [e.text for e in read_run(tmp_path / "run").events] == ["before", "after"]


def test_nan_and_infinity_make_valid_json(run):
    row = ParityRow("a", 1, "disagrees", "eager", max_abs_error=float("nan"))
    store, _ = RunStore.resume(run)
    with store:
        store.append(row)
        store.append(Reached("a/b1/c1", 1, "", {"p50": float("inf")}))

    def refuse(word):
        raise AssertionError(word)

    for line in (run / JOURNAL).read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    (read,) = read_run(run).parity
    assert read.max_abs_error != read.max_abs_error


def test_newlines_and_odd_characters_stay_in_one_line(run):
    message = 'a\nb\r\u2028\x00 "quoted" ☃ \udc80'
    store, _ = RunStore.resume(run)
    with store:
        store.append(Note(message))
    shown = 'a\nb\\r\\u2028\\x00 "quoted" ☃ \\udc80'
    assert read_run(run).events[-1].text == shown


# ------------------------------------------------------------------------ atomic writes


def test_atomic_write_leaves_the_old_file_when_the_block_raises(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_text("half of the ne")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


HALF = """
import sys, time
from pathlib import Path
from harness.system.files import atomic_write
with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.write_text("half of the ne")
    print("half", flush=True)
    sys.stdin.read()
"""


def test_atomic_write_leaves_the_old_file_when_killed(tmp_path):
    path = tmp_path / "file"
    write_text(path, "old")
    with in_child(HALF, path) as writer:
        assert writer.stdout.readline() == "half\n"
        assert path.read_text() == "old"
        writer.kill()
    assert path.read_text() == "old"
    write_text(path, "new")
    assert path.read_text() == "new"


def test_atomic_write_makes_the_folder_and_follows_the_umask(tmp_path):
    path = tmp_path / "deep" / "er" / "file"
    write_text(path, "text ☃")
    umask = os.umask(0)
    os.umask(umask)
    assert path.read_text(encoding="utf-8") == "text ☃"
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask


def test_readers_never_see_half_a_file(tmp_path):
    path = tmp_path / "file"
    texts = {"a" * 100_000, "b" * 100_000}
    write_text(path, "a" * 100_000)
    stop = threading.Event()

    def rewrite(text):
        while not stop.is_set():
            write_text(path, text)

    writers = [threading.Thread(target=rewrite, args=(text,)) for text in texts]
    for writer in writers:
        writer.start()
    seen = {path.read_text() for _ in range(200)}
    stop.set()
    for writer in writers:
        writer.join()
    assert seen <= texts
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("name", ["samples", "journal.jsonl", ".lock"])
def test_a_run_is_not_resumed_through_a_link_out_of_it(tmp_path, name):
    RunStore.create(tmp_path / "run", {}).close()
    path = tmp_path / "run" / name
    path.rmdir() if path.is_dir() else path.unlink()
    path.symlink_to(tmp_path / "mine")
    with pytest.raises(RunDirectoryError, match="leads out"):
        RunStore.resume(tmp_path / "run")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd"])
def test_a_file_that_the_journal_names_lies_in_the_run(tmp_path, name):
    with RunStore.create(tmp_path / "run", {}) as store:
        assert store.file("samples/a.parquet") == tmp_path / "run" / "samples" / "a.parquet"
        with pytest.raises(RunDirectoryError, match="lies outside"):
            store.file(name)


def test_damaged_files_are_named_and_missing_ones_are_none(run):
    names = [f"samples/{n}.parquet" for n in ("good", "bad", "gone", "")]
    rows = [measurement(round=n, samples=name).to_event() for n, name in enumerate(names)]
    loaded = LoadedRow("a", 0, 1.0, None, None, None, None, {"telemetry": "telemetry/t.parquet"})
    with (run / JOURNAL).open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in (*rows, loaded.to_event()))
    none = np.empty(0, np.int64)
    empty = Samples(none, none, none, np.empty(0, np.uint8), np.empty(0, np.uint16))
    write_samples(run / names[0], empty, {})
    (run / names[1]).write_bytes(b"PAR1 cut short")
    (run / "telemetry" / "t.parquet").write_bytes(b"")
    bad, telemetry = read_run(run).damaged_files()
    assert "bad.parquet is damaged" in bad
    assert "t.parquet is damaged" in telemetry
    assert list(read_run(run).damaged_files("a/b1/c1")) == [bad]
    assert list(read_run(run).damaged_files("a/b1/c2")) == []


@pytest.fixture
def small_disk(tmp_path):
    with mounted(tmp_path / "disk") as disk:
        yield disk.path


def test_a_full_disk_is_said_with_the_path_and_what_is_free_and_loses_nothing(small_disk):
    path, wrote = small_disk / "run", 0
    with RunStore.create(path, {}) as store:
        with pytest.raises(SetupError, match="No space left") as caught:
            for number in range(1000):
                store.append(Note(f"{number} " + "x" * 5000))
                wrote = number + 1
        assert str(path / JOURNAL) in caught.value.message
        assert "MB are free there" in caught.value.message
        assert f"--resume {path}" in caught.value.fix
        with (
            pytest.raises(OSError, match="No space left") as full,
            atomic_write(path / "big") as temporary,
        ):
            temporary.write_bytes(b"x" * 2**20)
        assert full.value.filename == str(path / "big")
    assert [p.name for p in path.iterdir() if "big" in p.name] == []
    texts = [e.text for e in read_run(path).events]
    assert [int(text.split()[0]) for text in texts] == list(range(wrote))
    assert read_run(path).damage == ()
    RunStore.resume(path)[0].close()


def test_a_disk_that_is_full_from_the_beginning_is_said_as_such(tmp_path):
    with mounted(tmp_path / "disk") as disk:
        disk.fill()
        with pytest.raises(SetupError, match=r"No space left.*manifest.json can't be written"):
            RunStore.create(disk.path / "run", {})


def test_what_a_killed_writer_left_is_gone_after_resuming(tmp_path):
    path = tmp_path / "run"
    RunStore.create(path, {}).close()
    with in_child(HALF, path / "samples" / "a.parquet") as writer:
        assert writer.stdout.readline() == "half\n"
        RunStore.resume(path)[0].close()
        (mine,) = (path / "samples").iterdir()  # its writer lives
        writer.kill()
    RunStore.resume(path)[0].close()
    assert not mine.exists()


def test_a_name_that_is_no_utf8_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / os.fsdecode(b"out\xff")
    with pytest.raises(RunDirectoryError, match=r"is no UTF-8, .*out\\udcff") as caught:
        RunStore.create(path, {"a": 1})
    str(caught.value).encode()
    assert not path.exists()


@pytest.mark.parametrize("name", [JOURNAL, MANIFEST, "samples/a.parquet", "logs/a.log"])
def test_a_pipe_in_a_run_directory_is_named_and_nobody_waits_for_it(run, name):
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    said = f"{name}.* a named pipe, not a regular file"
    if "/" not in name:
        with pytest.raises(UsageError, match=said):
            read_run(run)
    with pytest.raises(UsageError, match=said):
        RunStore.resume(run)


def test_a_pipe_in_place_of_samples_is_damage(run):
    os.mkfifo(run / "samples" / "a.parquet")
    with (run / JOURNAL).open("a") as file:
        file.write(json.dumps(measurement(samples="samples/a.parquet").to_event()) + "\n")
    (said,) = read_run(run).damaged_files()
    assert "a named pipe, not a regular file" in said
