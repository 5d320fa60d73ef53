"""`python -m experiments.explore`: a page for a game by name, or for one's own."""

import pytest

from experiments.explore import __main__ as command


def run(*argv) -> int:
    with pytest.raises(SystemExit) as ended:
        command.main(list(argv))
    return ended.value.code


@pytest.fixture(autouse=True)
def _float64(monkeypatch):
    # The tests have set JAX up already.
    monkeypatch.setattr("experiments._machinery._jax_setup.prepare_jax", lambda: None)


def test_a_game_by_name_is_written(tmp_path, capsys):
    path = tmp_path / "deep" / "page.html"
    assert run("almost_bilinear", "--out", str(path)) == 0
    assert "spurious cycle" in path.read_text() and str(path) in capsys.readouterr().out


def test_a_game_of_ones_own_is_written(tmp_path, monkeypatch):
    (tmp_path / "own_game.py").write_text(
        "import jax\n"
        "def explored():\n"
        "    family = lambda c: lambda t, y, args: jax.tree.map(lambda x: -c * x, y)\n"
        "    return {'family': family, 'parameters': {'c': (0.1, 1.0)}, 'step_size': (0.1, 1.0), 'title': 'Mine'}\n"
        "def wrong():\n"
        "    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run("own_game:explored") == 0
    assert "<title>Mine</title>" in (tmp_path / "results/explore/explored.html").read_text()
    assert run("own_game:wrong") == 2


@pytest.mark.parametrize("argv", [[], ["nothing"], ["no_module:f"], ["a b:c"], ["dirac", "--outt", "x"]])
def test_bad_usage_gives_one_line_and_status_2(argv, capsys):
    assert run(*argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("python -m experiments.explore: error: ") and said.count("\n") == 1


def test_help_lists_the_games(capsys):
    assert run("--help") == 0
    assert "forsaken" in capsys.readouterr().out
