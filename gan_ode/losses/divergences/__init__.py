"""The f-GANs: one convex function each, with its activation and its conjugate."""

from ._alpha import Alpha as Alpha
from ._divergence import AbstractDivergence as AbstractDivergence
from ._f_divergence import FDivergence as FDivergence
from ._jensen_shannon import JensenShannon as JensenShannon
from ._kl import KL as KL
from ._neyman_chi_squared import NeymanChiSquared as NeymanChiSquared
from ._pearson_chi_squared import PearsonChiSquared as PearsonChiSquared
from ._reverse_kl import ReverseKL as ReverseKL
from ._squared_hellinger import SquaredHellinger as SquaredHellinger
