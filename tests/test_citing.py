"""What is used can be cited: each source that a docstring names has an entry, and objects lead to their entries."""

import inspect
import pathlib
import re
import tomllib

import diffrax
import pytest

import gan_ode
from gan_ode import analysis, fields, games, losses, networks, noise, regularizers, solvers, updates
from gan_ode._citing import _cite

GROUPS = [analysis, games, losses, networks, noise, regularizers, solvers, updates]
# Sources without a number at arXiv that have no entry yet: textbooks and theorems that everybody knows.
NOT_LISTED = {
    "check_lyapunov_function", "classify", "covariance_at", "critical_parameter", "follow_eigenvalues",
    "numerical_abscissa", "stationary_covariance", "transient_growth", "InexactChord",
}  # fmt: skip
# What says that there is no source, or points at another docstring.
DERIVED = re.compile(r"^(derived here|our own|as `)")


def keys(*things):
    return set(re.findall(r"^@\w+\{(\w+),$", gan_ode.cite(*things), flags=re.MULTILINE)) - {"gan_ode"}


def with_sources():
    for group in GROUPS:
        for name, thing in vars(group).items():
            if not name.startswith("_") and str(getattr(thing, "__module__", "")).startswith("gan_ode"):
                yield from ((name, thing, text) for text in _cite._texts(thing))


def test_every_number_at_arxiv_has_an_entry():
    listed = {_cite._field(entry, "eprint") for entry in _cite._entries()}
    named = {number for _, _, text in with_sources() for number in _cite._ARXIV.findall(text)}
    assert len(named) > 50 and named - listed == set()


def test_what_has_a_source_leads_to_an_entry_or_is_excused():
    without = {name for name, thing, text in with_sources() if not keys(thing) and not DERIVED.match(text)}
    assert without == NOT_LISTED


def test_entries_have_keys_of_their_own_and_what_bibtex_asks():
    entries = _cite._entries()
    assert len({_cite._key(entry) for entry in entries}) == len(entries)
    for entry in entries:
        assert all(_cite._field(entry, name) for name in ("author", "title", "year")), entry
        assert entry.count("{") == entry.count("}"), entry


def test_objects_lead_to_the_sources_of_all_that_they_hold():
    game = regularizers.Penalized(games.LinearQuadratic(losses.Wasserstein()), regularizers.R1(0.5))
    assert keys(fields.GameField(game)) == {"nagarajan2017", "heusel2017", "arjovsky2017", "mescheder2018"}
    assert keys({"rules": [updates.SolverStep(diffrax.Heun(), 0.1)]}) == {"kidger2021"}
    assert keys(updates.Nesterov, 0.5, None) == {"nesterov1983", "sutskever2013"}
    assert keys() == set() and "cited_as" not in gan_ode.cite(updates.Nesterov)


@pytest.mark.parametrize("thing", [inspect, print, lambda: None, len])
def test_what_is_not_the_packages_adds_nothing(thing):
    assert keys(thing) == set()


def test_the_citation_file_has_the_packages_version():
    root = pathlib.Path(__file__).parents[1]
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (root / "CITATION.cff").read_text()
