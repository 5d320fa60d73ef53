"""The numbers by which a diagnosis tells, each with its reason."""

# States of at most so many numbers get the dense Jacobian: as many products as a basis of Krylov's takes.
MOST_DENSE = 64
# Eigenvalues up to this part of the Jacobian's norm are zero but for rounding, by bytes of a number: some roundings of
# a Jacobian, and the root of rounding where zeros come in blocks.
FLAT = {4: 1e-4, 8: 1e-7}
# A growth per step counts as zero up to this part of the modulus of the logarithm of the multiplier, by bytes.
NEUTRAL = {4: 1e-3, 8: 1e-7}
# A mode cycles where it loses less than this part of its amplitude in a radian: in a turn it keeps more than half.
CYCLES = 0.1
# And where it turns by this much, in radians, before the drift has left the state: more than half of that, and the way
# is round. A circle is seen so from a radius of a fifth of the state's norm on downward.
TURNED = 0.5
# The drift is taken for the rotation itself where no more than this part of it is something else.
DRIFT_TURNS = 0.3
# A real mode creeps where it decays so much more slowly than the fastest one.
CREEPS = 1e-2
# A multiplier flips where it turns by more than this, in radians: nearer to half a turn than to a quarter.
FLIPS = 2.4
# Of networks a rotation counts where it is at least this part of the fastest one: slower ones are a continuum.
TURNS = 0.1
# The drift is said to have left the state when it has carried it by this part of its own norm.
FAR = 0.1

# A step is too large where the largest one is smaller than this: some modes lie at the edge in healthy training.
STEP_MARGIN = 0.9
# Or where the fastest mode that grows in the flow does so by more than this in the time of one step: by a factor of e,
# which no linear part outlives. A step resolves a mode where it is half of that.
UNRESOLVED, RESOLVED = 1.0, 0.5
# Nor is a step too large in which no mode moves by more than this part of itself.
SLOW = 0.1
# The discriminator is too fast where its rate is so many times the generator's, and its scores tell data from samples
# by so many standard deviations: two time scales of up to about four are in use, and a separation of two is 84 % told
# apart.
RATE_RATIO, SEPARATION = 5.0, 2.0
# The loss has saturated where so much is left of the slope that the generator would have at equilibrium.
SLOPE_LEFT = 0.1
# Scores further than this from the one at equilibrium are saturated: there a logistic slope is below 2 %.
SATURATED = 4.0
# The batch is too small where a step would need so many times its samples for noise and drift to be as large: near
# equilibrium drift is small, so that noise above it is usual.
NOISY = 30.0
# Or where in so many steps noise alone moves a sample by this much of the data's spread: what is finer than that cannot
# be learned. Where noise and drift balance, their ratio is the same for every batch; this is not. So many runs tell it.
JITTER, JITTER_STEPS, JITTER_RUNS = 0.25, 200, 4
# But where the batch has more than these times the samples that a step needs, noise carries far because steps are long.
SUFFICES = 1.0
# What a finding of strength 1 is the threshold of.
FOUND = 1.0

# Costs of a step, in field evaluations, relative to the plain field: one more derivative inside the loss costs about a
# forward and a backward pass of one network; the gradient-norm regularizer one derivative along a direction.
COSTS = {"R1": 1.5, "R2": 1.5, "gradient norm": 1.25, "consensus": 2.5, "extragradient": 2.0}

# Subsets of a minibatch of which the covariance is estimated, and probes of the rotation share.
NUM_PARTS, NUM_PROBES = 8, 16
# What a search leaves with a larger residual, relative to the norm, by bytes, is no mode: slow ones in the thick of it.
CONVERGED = {4: 1e-3, 8: 1e-4}
# Modes that are looked for without the matrix: those that turn, that grow, that decay fastest; the basis; and most
# products of one search. Those of a look at a treated training, and how many of these are looked at.
NUM_MODES, NUM_GROWING, NUM_FASTEST, SUBSPACE, MOST_PRODUCTS = 4, 2, 2, 60, 240
MOST_LOOKS, MOST_PRODUCTS_OF_A_LOOK = 4, 100
# A product of the Jacobian with a vector costs about two field evaluations.
PRODUCT = 2
# Steps are searched between these factors on the present one.
LEAST_STEP, MOST_STEP = 1e-3, 100.0
