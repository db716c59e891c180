import pytest

from harness.errors import UsageError
from harness.scenario import kinds


def test_a_kind_is_taken_once(monkeypatch):
    monkeypatch.setattr(kinds, "SETTINGS", {})
    kinds.register("toy", "a:B")
    kinds.register("toy", "a:B")
    with pytest.raises(UsageError, match="'toy' is taken: its settings are a:B"):
        kinds.register("toy", "a:C")
    assert kinds.SETTINGS == {"toy": "a:B"}


def test_a_path_leads_to_what_it_names():
    assert kinds.import_path("harness.scenario.kinds:register") is kinds.register


def test_what_a_module_lacks_itself_is_no_wrong_path(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        kinds.import_path("needs_more:X")
