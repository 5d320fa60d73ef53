"""Diffrax solvers that Diffrax lacks: stabilized and Rosenbrock methods, and implicit ones without a matrix."""

from ._gmres import GMRES as GMRES
from ._matrix_free import InexactChord as InexactChord, matrix_free as matrix_free
from ._rk4 import RK4 as RK4
from ._rkc2 import RKC2 as RKC2
from ._rodas3 import Rodas3 as Rodas3
