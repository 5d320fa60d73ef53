"""The same training in PyTorch, as one writes it there; PyTorch need not be installed."""

import time
from typing import Any

import jax
import numpy as np


def rival(y0: Any, table: Any, *, eta: float, rate: float, b1: float, compiled: bool) -> Any:
    """The road of PyTorch, or the reason why there is none.

    Args:
        y0: Layers of discriminator and generator, each a list of weights and biases.
        table: Data and latent points, with a leading axis over minibatches.
        eta: Weight of the gradient-norm penalty; none if 0.
        rate: Adam's learning rate.
        b1: Adam's decay of the first moment.
        compiled: Whether to compile the gradients.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return "PyTorch is not installed (`pip install 'gan_ode[rivals]'`)."
    except Exception as error:  # as where its libraries do not fit the machine's
        return f"PyTorch cannot be imported: {type(error).__name__}: {str(error).strip().splitlines()[:1]}"
    road = _Torch(torch, y0, table, eta=eta, rate=rate, b1=b1, compiled=compiled)
    try:
        road.gradients()
    except Exception as error:  # whatever the compiler does not like
        if not compiled:
            raise
        return f"it does not compile: {type(error).__name__}: {str(error).strip().splitlines()[0][:100]}"
    road.choose_threads()
    return road


class _Torch:
    def __init__(self, torch: Any, y0: Any, table: Any, *, eta: float, rate: float, b1: float, compiled: bool):
        self.torch, self.start = torch, y0
        self.eta, self.rate, self.b1 = eta, rate, b1
        self.batches = [tuple(torch.tensor(np.asarray(leaf)) for leaf in pair) for pair in zip(*table, strict=True)]
        self.nets = tuple(_network(torch, layers) for layers in y0)
        self.parameters = [list(net.parameters()) for net in self.nets]
        gradients = self._by_functions if compiled and eta else self._by_backward
        self._gradients = torch.compile(gradients) if compiled else gradients
        self.threads = self._most_threads = torch.get_num_threads()

    def choose_threads(self) -> None:
        """Takes one thread or all, whichever is faster: on a busy machine, threads that wait for each other crawl."""
        seconds = {}
        for threads in {1, self._most_threads}:
            self.threads = threads
            self.evaluate(2)
            start = time.perf_counter()
            self.evaluate(10)
            seconds[threads] = time.perf_counter() - start
        self.threads = min(seconds, key=seconds.__getitem__)

    def gradients(self) -> Any:
        return self._as_layers(self._descents(self.batches[0]))

    def evaluate(self, times: int) -> None:
        self.torch.set_num_threads(self.threads)
        for _ in range(times):
            self._descents(self.batches[0])

    def train(self, num_steps: int) -> Any:
        self.torch.set_num_threads(self.threads)
        self._reset()
        adam = self.torch.optim.Adam(
            [p for part in self.parameters for p in part], lr=self.rate, betas=(self.b1, 0.999), fused=True
        )
        for n in range(num_steps):
            descents = self._descents(self.batches[n % len(self.batches)])
            for part, slopes in zip(self.parameters, descents, strict=True):
                for parameter, slope in zip(part, slopes, strict=True):
                    parameter.grad = slope
            adam.step()
        return self._as_layers([[p.detach() for p in part] for part in self.parameters])

    def _descents(self, batch: Any) -> Any:
        steepest, downhill = self._gradients(*batch)
        return [-slope for slope in steepest], list(downhill)

    def _value(self, scores: Any, generate: Any, data: Any, latent: Any) -> Any:
        log_sigmoid = self.torch.nn.functional.logsigmoid
        return log_sigmoid(scores(data / 4)).mean() + log_sigmoid(-scores(generate(latent) / 4)).mean()

    def _by_backward(self, data: Any, latent: Any) -> Any:
        (discriminator, generator), grad = self.parameters, self.torch.autograd.grad
        scores, generate = self.nets
        value = self._value(scores, generate, data, latent)
        if not self.eta:
            slopes = grad(value, discriminator + generator)
            return slopes[: len(discriminator)], slopes[len(discriminator) :]
        steepest = grad(value, discriminator, create_graph=True)
        loss = value + self.eta * sum((slope**2).sum() for slope in steepest)
        return [slope.detach() for slope in steepest], grad(loss, generator)

    def _by_functions(self, data: Any, latent: Any) -> Any:
        """The same by `torch.func`: the compiler does not take double backward otherwise."""
        func = self.torch.func
        states = [dict(net.named_parameters()) for net in self.nets]

        def value(d: Any, g: Any) -> Any:
            scores, generate = (
                lambda x, net=net, state=state: func.functional_call(net, state, (x,))
                for net, state in zip(self.nets, (d, g), strict=True)
            )
            return self._value(scores, generate, data, latent)

        def damped(g: Any) -> Any:
            steepest = func.grad(value)(states[0], g)
            return value(states[0], g) + self.eta * sum((slope**2).sum() for slope in steepest.values()), steepest

        downhill, steepest = func.grad(damped, has_aux=True)(states[1])
        return list(steepest.values()), list(downhill.values())

    def _reset(self) -> None:
        with self.torch.no_grad():
            for part, layers in zip(self.parameters, self.start, strict=True):
                for parameter, values in zip(part, jax.tree.leaves(layers), strict=True):
                    parameter.copy_(self.torch.tensor(np.asarray(values)))

    def _as_layers(self, parts: Any) -> Any:
        return [[slope.detach().numpy().copy() for slope in part] for part in parts]


def _network(torch: Any, layers: Any) -> Any:
    parts: list[Any] = []
    for weight, bias in layers:
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.asarray(weight)))
            linear.bias.copy_(torch.tensor(np.asarray(bias)))
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])
