from steersman.cli.models import open_pairs
from steersman.methods import METHODS


def test_methods_lists_every_method(steersman):
    result = steersman("methods")
    assert result.exit_code == 0
    assert all(name in result.stdout for name in METHODS)


def test_the_doctor_passes_a_sound_model(saved_model, steersman):
    result = steersman("doctor", saved_model, "--prompts", 4)
    assert result.exit_code == 0, result.output
    assert "FAIL" not in result.stdout
    assert "3 at model.layers" in result.stdout
    assert "4 prompts" in result.stdout


def test_a_demo_does_not_write_among_other_things(tmp_path, steersman):
    (tmp_path / "thesis.tex").write_text("years of work")
    result = steersman("demo", "--out", tmp_path)
    assert result.exit_code == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.tex"]


def test_pairs_of_the_wind_tunnel_have_a_name():
    pairs = open_pairs("windtunnel:concepts:sea", count=5, seed=0, chat=False)
    assert len(pairs.desired) == 5
