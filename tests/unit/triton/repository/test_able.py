"""What the embedded server can run of a repository, and why not the rest."""

from __future__ import annotations

from pathlib import Path

from harness.triton.repository.able import split_models

CONFIGS = {
    "broken": "name: 3 }", "empty": 'backend: "python"', "mine": 'backend: "python"',
    "engine": 'platform: "tensorrt_plan"', "native": 'platform: "onnxruntime_onnx"',
    "nothing": "max_batch_size: 8", "steps": 'platform: "ensemble"',
}  # fmt: skip


def test_what_the_embedded_server_leaves_out_has_a_reason(tmp_path: Path) -> None:
    for name, text in CONFIGS.items():
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "config.pbtxt").write_text(text)
    (tmp_path / "mine" / "1" / "model.py").write_text("")
    (tmp_path / "empty" / "draft").mkdir()
    (tmp_path / "empty" / "draft" / "model.py").write_text("")
    able, unable = split_models(tmp_path)
    assert able == ["mine", "steps"]
    assert "no backend for tensorrt_plan" in unable.pop("engine")
    assert "no backend for onnxruntime_onnx" in unable.pop("native")
    assert "no backend for it" in unable.pop("nothing")
    assert "can't be read" in unable.pop("broken")
    assert "no version" in unable.pop("empty")
    assert unable == {}
