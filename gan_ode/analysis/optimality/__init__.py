"""What an equilibrium is to the players: Nash, min-max, Stackelberg, beside whether flow and update return to it."""

from ._optimality import Optimality as Optimality, optimality as optimality
