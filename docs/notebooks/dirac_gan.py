"""The Dirac-GAN as an app: `marimo run dirac_gan.py`, or `marimo edit dirac_gan.py` to change it."""

import marimo

app = marimo.App(width="medium", app_title="The Dirac-GAN")


@app.cell
def _():
    import jax
    import jax.numpy as jnp
    import marimo as mo
    from matplotlib.figure import Figure

    from gan_ode import analysis, fields, flow, games, iterate, losses, plot, regularizers, updates

    jax.config.update("jax_enable_x64", True)
    return Figure, analysis, fields, flow, games, iterate, jnp, losses, mo, plot, regularizers, updates


@app.cell
def _(losses, mo, updates):
    words = mo.md("""
    # The Dirac-GAN

    All data lie at 0, the generator is a point $\\theta$, the discriminator a line, $D(x) = -\\psi x$.
    Turn the weight of R1 and the step size, and choose a loss and a rule.
    """)
    kinds = {"Wasserstein": losses.Wasserstein(), "minimax": losses.Minimax(), "non-saturating": losses.NonSaturating()}
    rules = {
        "simultaneous": updates.Simultaneous,
        "alternating": updates.Alternating,
        "extragradient": updates.Extragradient,
        "optimistic": updates.Optimistic,
    }
    loss = mo.ui.dropdown(kinds, value="Wasserstein", label="loss")
    rule = mo.ui.dropdown(rules, value="simultaneous", label="rule")
    gamma = mo.ui.slider(0.0, 1.5, 0.05, value=0.0, label="weight of R1", show_value=True)
    step_size = mo.ui.slider(0.02, 1.0, 0.02, value=0.1, label="step size", show_value=True)
    controls = mo.hstack([mo.vstack([loss, rule]), mo.vstack([gamma, step_size])], justify="start", gap=3)
    mo.vstack([words, controls])
    return gamma, loss, rule, step_size


@app.cell
def _(fields, games, gamma, jnp, loss, regularizers):
    game = games.Dirac(loss.value)
    field = fields.GameField(regularizers.Penalized(game, regularizers.R1(jnp.asarray(gamma.value))))
    start = games.Players(discriminator=jnp.array(0.0), generator=jnp.array(1.2))
    return field, game, start


@app.cell
def _(Figure, analysis, field, flow, game, iterate, mo, plot, rule, start, step_size):
    steps = iterate(rule.value(step_size.value), field, start, num_steps=150)
    critical = float(analysis.critical_step_size(rule.value, field, game.equilibrium))
    kind = analysis.equilibrium_type(analysis.spectrum(field, game.equilibrium))
    with plot.style():
        figure = Figure(figsize=(5.0, 4.2))
        ax = figure.subplots()
        portrait = plot.phase_portrait(
            field,
            ax=ax,
            xlim=(-2, 2),
            ylim=(-2, 2),
            names=(r"\psi", r"\theta"),
            orbits=flow(field, start, steps.ts),
            updates={"steps": steps},
            equilibria=[game.equilibrium],
            resolution=60,
        )
        plot.colorbar(portrait, ax=ax)
        plot.legend(figure, portrait)
    said = (
        f"The equilibrium is a **{kind}** of the flow; steps converge near it up to a step size of **{critical:.3g}**."
    )
    mo.vstack([mo.md(said), mo.as_html(figure)])
    return


@app.cell
def _(fields, games, jnp, loss, mo, plot, regularizers, updates):
    def family(gamma):
        return fields.GameField(regularizers.Penalized(games.Dirac(loss.value), regularizers.R1(gamma)))

    shown = plot.explorer(
        family,
        parameters={"gamma": (0.0, 1.5)},
        step_size=(0.02, 1.0),
        updates=[updates.Simultaneous, updates.Alternating, updates.Extragradient],
        start=games.Players(discriminator=jnp.array(0.0), generator=jnp.array(1.2)),
    )
    mo.vstack([mo.md("The same, to be moved by hand:"), mo.Html(shown._repr_html_())])
    return


if __name__ == "__main__":
    app.run()
