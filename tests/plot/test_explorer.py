"""The explorer's page: what it computes is what the package computes."""

import contextlib
import json
import re
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from py_mini_racer import MiniRacer

from gan_ode import analysis, fields, flow, games, iterate, losses, plot, regularizers, updates
from gan_ode._lowering import to_javascript
from gan_ode.games import Players
from gan_ode.plot._explorer._programs import Programs

# Measured: at most 3e-16 of a field, 2e-13 after a hundred steps.
ROUNDING = 1e-9
# Measured: 2e-14, relative to the norm, of random matrices, and 1e-7 of one that is not diagonalizable.
EIGENVALUES = 1e-11
RULES = {
    "simultaneous": updates.Simultaneous,
    "alternating": updates.Alternating,
    "extragradient": updates.Extragradient,
    "optimistic": updates.Optimistic,
    "heavy ball": lambda h: updates.HeavyBall(h, -0.5),
}


def of(loss):
    def family(eta, rate):
        game = regularizers.Penalized(games.LinearQuadratic(loss, num_nodes=NODES), regularizers.GradientNorm(eta))
        return fields.GameField(game, rates=Players(1.0, rate))

    return family


FAMILIES = {"usual loss": of(losses.Minimax()), "Wasserstein": of(losses.Wasserstein())}
# Few, so that the programs are short.
NODES = 6
START = Players(jnp.array(0.5), jnp.array(1.2))


def _energy(y):
    """What the plain Wasserstein flow keeps."""
    return y.discriminator**2 / 2 + y.generator**2 / 4 - jnp.log(jnp.abs(y.generator)) / 2


PRESETS = {
    "GAN": {"family": "usual loss", "eta": 0.0, "rate": 1.0, "step_size": 0.1},
    "WGAN": {"family": "Wasserstein", "eta": 0.0, "rate": 1.0, "step_size": 0.1},
    "regularized": {"family": "Wasserstein", "eta": 0.5, "rate": 1.0, "step_size": 0.1},
}


def engine() -> str:
    folder = resources.files("gan_ode.plot._explorer")
    return "\n".join(folder.joinpath(name).read_text() for name in ("engine.js", "regions.js"))


@pytest.fixture(scope="module")
def programs() -> Programs:
    return Programs(FAMILIES["usual loss"], ("eta", "rate"), START, RULES, _energy)


@pytest.fixture(scope="module")
def browser(programs):
    """An engine like the browser's, with the programs of both families."""
    two = {name: RULES[name] for name in ("simultaneous", "alternating")}
    wasserstein = Programs(FAMILIES["Wasserstein"], ("eta", "rate"), START, two)
    with running(f"const own = {programs.javascript()}; const linear = {wasserstein.javascript()};") as racer:
        yield racer


@contextlib.contextmanager
def running(code: str):
    """An engine like the browser's that has run the page's methods and some code; closed, or Python may not end."""
    with MiniRacer() as racer:
        racer.eval(f"{engine()}\n{code}")
        yield racer


def told(racer: MiniRacer, expression: str):
    return json.loads(racer.eval(f"JSON.stringify({expression})"))


def settings(num: int) -> np.ndarray:
    """State, step size and parameters at random."""
    rng = np.random.default_rng(0)
    return np.concatenate(
        [rng.uniform(-1.5, 1.5, (num, 2)), rng.uniform(0.01, 0.5, (num, 1)), rng.uniform(0.1, 2.0, (num, 2))], axis=1
    )


def test_the_field_and_its_jacobian_are_those_of_the_package(programs, browser):
    for y, _, p in (map(jnp.asarray, np.split(each, [2, 3])) for each in settings(20)):
        inputs = [*y.tolist(), *p.tolist()]
        assert told(browser, f"own.field({inputs})") == pytest.approx(np.asarray(programs.velocity(y, p)), abs=ROUNDING)
        assert told(browser, f"own.jacobian({inputs})") == pytest.approx(
            np.asarray(programs.jacobian(y, p)), abs=ROUNDING
        )


@pytest.mark.parametrize("rule", RULES)
def test_a_hundred_steps_are_those_of_the_package(browser, rule):
    number = list(RULES).index(rule)
    for each in settings(3):
        y, h, p = each[:2].tolist(), float(each[2]), each[3:].tolist()
        field = FAMILIES["usual loss"](*p)
        steps = iterate(RULES[rule](h), field, Players(*map(jnp.asarray, y)), num_steps=100)
        found = told(browser, f"iterate(own.updates[{number}], {y}, {h}, {p}, 100).ys")
        expected = np.stack([steps.ys.discriminator, steps.ys.generator], axis=1)
        np.testing.assert_allclose(found, expected, rtol=ROUNDING, atol=ROUNDING)


@pytest.mark.parametrize("rule", RULES)
def test_multipliers_and_critical_steps_are_those_of_the_package(browser, rule):
    field, number = FAMILIES["usual loss"](0.3, 1.0), list(RULES).index(rule)
    there = Players(jnp.array(0.0), jnp.array(1.0))
    found = told(browser, f"multipliers(own.updates[{number}], [0, 1], 0.2, [0.3, 1.0])")
    expected = np.asarray(analysis.multipliers(RULES[rule](0.2), field, there))
    assert np.max(np.abs([complex(*each) for each in found])) == pytest.approx(np.max(np.abs(expected)), abs=1e-7)
    critical = told(browser, f"criticalStepSize(own.updates[{number}], [0, 1], [0.3, 1.0], [1e-3, 50])")
    assert critical == pytest.approx(float(analysis.critical_step_size(RULES[rule], field, there)), rel=1e-6)


# Multipliers at h times an eigenvalue, from docs of each rule: closed forms.
CLOSED = {
    "simultaneous": lambda z: [1 + z],
    "extragradient": lambda z: [1 + z + z**2],
    "optimistic": lambda z: np.roots([1, -(1 + 2 * z), z]),
    "heavy ball": lambda z: np.roots([1, -(1 - 0.5 + z), -0.5]),
}


@pytest.mark.parametrize("rule", CLOSED)
def test_a_rules_region_of_stability_is_its_closed_form(browser, rule):
    number, rng = list(RULES).index(rule), np.random.default_rng(2)
    assert told(browser, f"kindOf(own.updates[{number}])") == {"ofEigenvectors": False, "ofStepSize": False}
    for x, y in rng.uniform(-2, 1, (10, 2)):
        found = told(browser, f"linearRadius(own.updates[{number}], [{x}, {y}], QUARTER_TURN, 0.3)")
        assert found == pytest.approx(np.max(np.abs(CLOSED[rule](complex(x, y)))), abs=ROUNDING)
    region = told(browser, f"stabilityRegion(own.updates[{number}], windowAround([]), QUARTER_TURN, 0.3)")
    z = complex(region["xs"][12], region["ys"][33])
    assert region["values"][12][33] == pytest.approx(np.max(np.abs(CLOSED[rule](z))) - 1, abs=ROUNDING)


@pytest.mark.parametrize("rule", ["simultaneous", "alternating", "optimistic"])
def test_scaled_eigenvalues_lie_in_a_rules_region_where_its_steps_converge(browser, rule):
    number, at = list(RULES).index(rule), "[0, 1, 0.3, 1]"
    assert told(browser, f"kindOf(own.updates[{number}]).ofEigenvectors") == (rule == "alternating")
    for h in (0.2, 1.0, 2.5):
        values = f"eigenvalues(own.jacobian({at}))[0].map((x) => {h} * x)"
        found = told(browser, f"linearRadius(own.updates[{number}], {values}, turnOf(own.jacobian({at})), {h})")
        expected = analysis.multipliers(
            RULES[rule](h), FAMILIES["usual loss"](0.3, 1.0), Players(jnp.array(0.0), jnp.array(1.0))
        )
        assert found == pytest.approx(float(np.max(np.abs(expected))), abs=ROUNDING)


def test_real_eigenvalues_turn_nothing(browser):
    assert told(browser, "turnOf([-1, 0.5, 0.25, -2])") is None
    assert told(browser, "turnOf([0.3, -2, 2, 0.3])") == pytest.approx([0, -1, 1, 0])


def test_the_window_has_equal_sides_and_holds_all_points(browser):
    for points in ([], [[-7.0, 2.0], [0.6, -4.0]], [[0.0, 1.55]]):
        (left, right), (low, high) = told(browser, f"windowAround({points})")
        assert right - left == pytest.approx(high - low)
        assert left <= -2 and all(left < x < right and low < y < high for x, y in points)


def test_the_invariant_is_the_one_given(browser):
    expected = float(_energy(Players(jnp.array(0.3), jnp.array(-1.4))))
    assert told(browser, "own.invariant([0.3, -1.4])") == pytest.approx([expected], abs=1e-15)
    assert told(browser, "linear.invariant") is None


def test_a_rule_that_neither_grows_nor_decays_is_stable_up_to_where_it_grows(browser):
    # Alternating steps of size h have the trace 2 - (2 h / 3)^2, and the determinant 1.
    assert told(browser, "criticalStepSize(linear.updates[1], [0, 1], [0, 1], [0.01, 10])") == pytest.approx(
        3, rel=1e-6
    )
    assert told(browser, "criticalStepSize(linear.updates[0], [0, 1], [0, 1], [0.01, 10])") == 0
    assert told(browser, "criticalStepSize(linear.updates[1], [0, 1], [0, 1], [0.01, 2])") is None


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8])
def test_eigenvalues_are_those_of_lapack(browser, size):
    rng = np.random.default_rng(size)
    for _ in range(20):
        matrix = rng.normal(size=(size, size)) * rng.integers(0, 2, (size, size))
        found = np.array([complex(*each) for each in told(browser, f"eigenvalues({matrix.ravel().tolist()})")])
        expected = np.linalg.eigvals(matrix)
        # Where eigenvalues are repeated neither is exact: their polynomials are compared.
        scale = max(np.linalg.norm(matrix), 1.0) ** np.arange(size + 1)
        assert np.poly(found) / scale == pytest.approx(np.poly(expected) / scale, abs=EIGENVALUES)


def test_equilibria_are_found_and_named_as_by_the_package(browser):
    box, field, jacobian = (
        "[[-1.5, 1.5], [0.2, 2.2]]",
        "(y) => own.field([...y, 0.3, 1])",
        "(y) => own.jacobian([...y, 0.3, 1])",
    )
    (found,) = told(browser, f"equilibriaWithin({field}, {jacobian}, {box})")
    assert found == pytest.approx([0.0, 1.0], abs=1e-12)
    kinds = {
        "stable focus": (-1.0, 2.0, -2.0, -1.0), "unstable focus": (1.0, 2.0, -2.0, 1.0),
        "center": (0.0, 2.0, -2.0, 0.0),
        "stable node": (-1.0, 0.0, 0.0, -2.0), "unstable node": (1.0, 0.0, 0.0, 2.0), "saddle": (1.0, 0.0, 0.0, -2.0),
        "degenerate": (0.0, 0.0, 0.0, -2.0),
    }  # fmt: skip
    for kind, matrix in kinds.items():
        assert analysis.equilibrium_type(np.linalg.eigvals(np.reshape(matrix, (2, 2))).astype(complex)) == kind
        assert told(browser, f"equilibriumType(eigenvalues({list(matrix)}))") == kind


def test_the_flow_is_that_of_the_package(browser):
    orbit = flow(FAMILIES["usual loss"](0.3, 1.0), START, jnp.array([0.0, 10.0]), rtol=1e-10, atol=1e-12)
    found = told(
        browser, "flow((y) => own.field([...y, 0.3, 1]), [0.5, 1.2], 10, {rtol: 1e-10, atol: 1e-12}).ys.at(-1)"
    )
    expected = [float(orbit.ys.discriminator[-1]), float(orbit.ys.generator[-1])]
    assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize(
    ("own", "eta", "word"), [("own", 0.0, "converges"), ("linear", 0.0, "cycles"), ("linear", 0.5, "converges")]
)
def test_the_fate_is_that_of_the_package(browser, own, eta, word):
    field = f"(y) => {own}.field([...y, {eta}, 1])"
    rest = f"[{{y: [0, 1], type: equilibriumType(eigenvalues({own}.jacobian([0, 1, {eta}, 1])))}}]"
    found = told(browser, f"fate({field}, [0.5, 1.2], {rest}, 240)")
    verdict = analysis.classify(FAMILIES["usual loss" if own == "own" else "Wasserstein"](eta, 1.0), START)
    assert found["word"] == word == str(verdict.kind)
    if word == "cycles":
        assert found["period"] == pytest.approx(float(verdict.period), rel=1e-6)


def test_a_flow_that_leaves_diverges_and_a_limit_cycle_is_one(browser):
    assert told(browser, "fate((y) => [y[0], y[1]], [1, 0], [], 100)")["word"] == "diverges"
    polar = "(y) => { const s = 0.25 - y[0] ** 2 - y[1] ** 2; return [s * y[0] - y[1], s * y[1] + y[0]]; }"
    found = told(browser, f"fate({polar}, [0.45, 0], [{{y: [0, 0], type: 'unstable focus'}}], 60)")
    assert found["word"] == "cycles in the end" and found["period"] == pytest.approx(2 * np.pi, rel=1e-6)


def test_of_rules_that_count_their_steps_no_single_step_is_shown():
    # Steps of an anchored rule are ever less pulled back.
    rules = {
        "anchored": updates.AnchoredExtragradient,
        "average": lambda h: updates.Averaged(updates.Simultaneous(h), 0.5),
    }
    own = Programs(FAMILIES["Wasserstein"], ("eta", "rate"), START, rules)
    assert own.counts("anchored") and not own.counts("average")
    steps = iterate(rules["anchored"](0.1), FAMILIES["Wasserstein"](0.0, 1.0), START, num_steps=5)
    with running(f"const own = {own.javascript()};") as racer:
        assert told(racer, "own.updates.map((update) => update.jacobian === null)") == [True, False]
        found = told(racer, "iterate(own.updates[0], [0.5, 1.2], 0.1, [0, 1], 5).ys")
    np.testing.assert_allclose(np.array(found)[:, 0], steps.ys.discriminator, rtol=ROUNDING)


def test_checks_that_raise_are_left_out_and_choices_are_written_out():
    def function(x, n):
        x = jax.lax.cond(x > 1, lambda x: x**3, lambda x: jnp.round(x) - 1, x)
        return jnp.where(n > 2, jnp.arctan2(x, 2.0), jnp.logaddexp(x, -x)), jnp.max(jnp.array([x, n]))

    body, num = to_javascript(function, (jnp.array(0.5), jnp.array(1.0)))
    assert num == 2
    with running(f"const f = function (x) {{{body}}};") as racer:
        for x, n in ((0.5, 1.0), (1.7, 3.0), (2.5, 0.0), (-1.5, 2.5)):
            expected = [float(each) for each in function(x, jnp.array(n))]
            assert told(racer, f"f([{x}, {n}])") == pytest.approx(expected, abs=1e-15)


def test_a_loop_of_fixed_length_is_unrolled():
    body, _ = to_javascript(lambda x: jax.lax.fori_loop(0, 5, lambda i, y: y * x + i, x), (jnp.array(0.5),))
    with running(f"const f = function (x) {{{body}}};") as racer:
        assert told(racer, "f([0.5])") == pytest.approx([0.5**6 + 0.5**3 + 2 * 0.5**2 + 3 * 0.5 + 4])


@pytest.fixture(scope="module")
def page() -> plot.Explorer:
    return plot.explorer(
        {name: (lambda eta, family=family: family(eta, 1.0)) for name, family in FAMILIES.items()},
        {"eta": (0.0, 1.0)}, (0.01, 1.0), {"simultaneous": updates.Simultaneous, "</script>": updates.Alternating},
        start=START, presets={name: {k: v for k, v in each.items() if k != "rate"} for name, each in PRESETS.items()},
    )  # fmt: skip


def test_the_page_is_one_file_that_asks_for_nothing(page, tmp_path):
    path = page.save(tmp_path / "explorer.html")
    text = path.read_text()
    assert len(text) < 3e6
    assert not re.search(r'(src|href)="(?!data:)', re.sub(r"<script.*?</script>", "", text, flags=re.DOTALL))
    assert page._repr_html_().startswith("<iframe srcdoc=")


def test_names_are_text_and_end_no_script(page):
    body = page.page
    assert "&lt;/script&gt;" in body and '"</script>"' not in body


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {}}, "`parameters` must name at least one"),
        ({"parameters": {"eta": (1.0, 0.0)}}, r"`parameters\['eta'\]` must be a lower and a higher number"),
        ({"step_size": (0.0, 1.0)}, "`step_size` must begin above 0"),
        ({"updates": []}, "`updates` must be one to 5 rules"),
        ({"updates": {"it": 3}}, "`rule` must make an update"),
        ({"start": jnp.zeros(3)}, "`start` must hold two numbers, but has 3"),
        ({"family": lambda eta: lambda t, y, args: jax.tree.map(lambda x: -x * t, y)}, "without explicit time"),
        ({"family": lambda eta: games.Dirac(losses.Minimax())}, "must give a field, but gives"),
        ({"presets": {"one": {"etta": 1.0}}}, r"names \['etta'\]"),
        ({"invariant": lambda y: jnp.stack([y.discriminator, y.generator])}, "`invariant` must give one number"),
        ({"invariant": {"other": _energy}}, r"must go by the names of families, \[''\]"),
        ({"updates": [updates.CompetitiveGradient]}, "cannot be written as"),
    ],
)
def test_what_cannot_be_explored_is_refused_by_name(change, message):
    given = {"parameters": {"eta": (0.0, 1.0)}, "step_size": (0.1, 1.0), "updates": [updates.Simultaneous]}
    given["family"] = lambda eta: FAMILIES["Wasserstein"](eta, 1.0)
    with pytest.raises(ValueError, match=message):
        plot.explorer(**{**given, **change})
