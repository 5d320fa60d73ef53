"""Systems of known fate, a kind a module; `experiments.benchmarks._fates` holds them all."""
