import pytest

from harness.triton.server.log import last_error, load_failure, port_in_use, sentence

IN_USE = """\
I1123 02:33:10.513945 11221 http_server.cc:4713] "Started HTTPService at 127.0.0.1:18010"
E1123 02:33:10.561126 11221 main.cc:293] "failed to start Metrics service: Unavailable - Socket '127.0.0.1:18002' already in use "
"""  # noqa: E501
CONFIG = """\
I1123 02:33:11.000000 11149 model_lifecycle.cc:472] "loading: ident:1"
E1123 02:33:11.762433 11149 model_repository_manager.cc:1415] "Poll failed for model directory 'bad2': failed to read text proto from /repo/bad2/config.pbtxt"
I1123 02:33:11.762999 11149 server.cc:604] ""
"""  # noqa: E501
LOADER = """\
I1123 02:18:42.514812 7149 model_lifecycle.cc:472] "loading: ident:1"
/opt/stub: error while loading shared libraries: libx.so.1: cannot open shared object file: No such file or directory
"""  # noqa: E501
RAISED = (
    "load failed for model 'bad1': version 1 is at UNAVAILABLE state: Internal: "
    "ModuleNotFoundError: No module named 'nothing_here'\n\nAt:\n  /repo/bad1/1/model.py(1): "
    "<module>\n;\n"
)
NOT_POLLED = "failed to load 'bad2', failed to poll from model repository"


def test_port_in_use():
    assert port_in_use(IN_USE) == 18002
    assert port_in_use(CONFIG) is None


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (CONFIG, "failed to read text proto from /repo/bad2/config.pbtxt"),
        (LOADER, "libx.so.1: cannot open shared object file"),
        ('2026-01-02T03:04:05Z E 11221 main.cc:293] "no"\nmore\n', "no"),
        ("only this\n", "only this"),
    ],
)
def test_last_error(log, words):
    found = last_error(log)
    assert words in found
    assert "\n" not in found


def test_what_every_server_without_a_gpu_says_is_no_error():
    log = 'E1123 02:18:42.452192 7149 server.cc:241] "CudaDriverHelper has not been initialized."\n'
    assert last_error(log + "ended\n") == "ended"


def test_nothing_in_an_empty_log():
    assert last_error("") == ""


def test_load_failure_is_one_sentence_without_a_traceback():
    assert load_failure(RAISED, "") == "ModuleNotFoundError: No module named 'nothing_here'"


def test_load_failure_looks_into_the_log_when_the_answer_says_nothing():
    assert "failed to read text proto" in load_failure(NOT_POLLED, CONFIG)
    assert load_failure(NOT_POLLED, "") == NOT_POLLED


def test_sentence_takes_the_first_words_of_a_logged_traceback():
    assert sentence('"Internal: RuntimeError: no GPU\\n\\nAt:\\n  /x.py(2): f\\n"') == (
        "RuntimeError: no GPU"
    )


@pytest.mark.parametrize(
    ("seen", "words"), [("", "these GPUs: none"), ("\n  0, 1", "these GPUs: 0, 1")]
)
def test_a_gpu_that_the_server_does_not_see(seen, words):
    text = (
        "instance group net_0 of model net specifies invalid or unsupported gpu id 2. GPUs with at "
        f"least the minimum required CUDA compute compatibility of 6.000000 are:{seen}"
    )
    assert sentence(text) == f"its instances are for GPU 2, and the server sees {words}"
