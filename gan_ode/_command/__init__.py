"""The command `gan-ode`, which runs experiments of an installed package."""

from ._run import main as main
