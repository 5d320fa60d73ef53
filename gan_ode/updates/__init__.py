r"""The discrete rules that practitioners run: one step of training, as a map of the state.

An update needs only a field. Its time is step size times number of steps, so that it can be laid beside the flow of
the same field. Rules with memory (momentum, Adam) carry it beside the state.
"""

from ._alternating import Alternating as Alternating
from ._anchored_extragradient import AnchoredExtragradient as AnchoredExtragradient
from ._averaged import Averaged as Averaged
from ._clipped import Clipped as Clipped
from ._competitive_gradient import CompetitiveGradient as CompetitiveGradient
from ._cycle import Cycle as Cycle
from ._extragradient import Extragradient as Extragradient
from ._extragradient_from_the_past import ExtragradientFromThePast as ExtragradientFromThePast
from ._frozen_opponent import FrozenOpponent as FrozenOpponent
from ._heavy_ball import HeavyBall as HeavyBall
from ._lookahead import Lookahead as Lookahead
from ._nesterov import Nesterov as Nesterov
from ._optax import Optax as Optax
from ._optimistic import Optimistic as Optimistic
from ._simultaneous import Simultaneous as Simultaneous
from ._solver_step import SolverStep as SolverStep
from ._unrolled_optax import UnrolledOptax as UnrolledOptax
from ._update import AbstractUpdate as AbstractUpdate
