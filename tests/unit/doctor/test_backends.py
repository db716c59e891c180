from harness.doctor.backends import backend_checks
from harness.scenario.spec.backend import all_settings
from harness.system.check import OK, Check


def test_every_kind_is_asked_and_the_lines_come_in_their_order(monkeypatch):
    asked = []
    for kind, settings in all_settings().items():

        def checks(gpu, kind=kind):
            asked.append((kind, gpu))
            return [Check("Backends", kind, OK, "")]

        monkeypatch.setattr(settings, "checks", staticmethod(checks))
    assert [check.name for check in backend_checks(True)] == list(all_settings())
    assert sorted(asked) == sorted((kind, True) for kind in all_settings())
