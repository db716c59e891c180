from harness.scenario.reading.files import references, resolve

TRITON = {"kind": "triton", "server": {"repository": "r", "tls": {"ca": "ca.pem"}}}


def places(data):
    return {r.loc: (r.written, r.kind) for r in references(data)}


def test_every_path_is_found_whatever_else_is_wrong():
    data = {
        "model": {"source": {"onnx": "m.onnx", "torch": 3}, "inputs": [
            "nothing", {"data": "random"}, {"data": {"files": ["a.npy", 7, "b.npy"]}},
        ]},
        "load": {"trace": "t.txt", "nonsense": {"trace": "u.txt"}},
        "backends": [{"kind": "torch"}, TRITON, "fake", None],
        "stress": {"locustfile": "u.py", "shape": {"trace": {"file": "a.txt"}}},
    }  # fmt: skip
    assert places(data) == {
        ("model", "source", "onnx"): ("m.onnx", "file"),
        ("model", "inputs", 2, "data", "files", 0): ("a.npy", "file"),
        ("model", "inputs", 2, "data", "files", 2): ("b.npy", "file"),
        ("load", "trace"): ("t.txt", "file"),
        ("stress", "locustfile"): ("u.py", "file"),
        ("stress", "shape", "trace", "file"): ("a.txt", "file"),
        ("backends", 1, "server", "repository"): ("r", "directory"),
        ("backends", 1, "server", "tls", "ca"): ("ca.pem", "file"),
    }
    assert places(None) == places({"model": []}) == places({"backends": 3}) == {}


def test_single_values_stand_for_lists_and_the_keys_are_the_kinds():
    other = {"model": {"source": {"engine": "e.plan"}}}
    assert places({"backends": {**TRITON, "colocated": other}}).keys() == {
        ("backends", 0, "server", "repository"), ("backends", 0, "server", "tls", "ca"),
        ("backends", 0, "colocated", 0, "model", "source", "engine"),
    }  # fmt: skip
    assert places({"backends": {**TRITON, "kind": "torch"}}) == {}


def test_a_path_is_made_absolute_in_place_and_what_is_not_there_is_said(tmp_path):
    (tmp_path / "a.npy").touch()
    data = {"model": {"inputs": {"data": {"files": "a.npy"}}}, "load": {"trace": "t.txt"}}
    files, trace = references(data)
    assert resolve(files, tmp_path) is None
    assert data["model"]["inputs"]["data"]["files"] == [str(tmp_path / "a.npy")]
    broken = resolve(trace, tmp_path)
    assert (broken.loc, broken.message) == (
        ("load", "trace"), f"no such file: 't.txt' (looked in {tmp_path})",
    )  # fmt: skip
    (tmp_path / "t.txt").mkdir()
    assert resolve(trace, tmp_path).message == "'t.txt' is not a file"
