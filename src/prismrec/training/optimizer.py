"""Adam for weights that receive a gradient only now and then, yet move by momentum all the time.

Adam with a gradient of zero still moves a weight. LATTICE and MICRO learn their item graphs by one gradient per epoch
and were published with that drift, which touches every trained feature of every item at every step. Here a whole run
of such steps is taken at once: after Adam's step t with moments m and v, steps r = 1..s of zero gradient move a weight
by

    -m Σ_r a_r / (b_r √v + ε),   a_r = η β₁^r / (1 - β₁^(t+r)),   b_r = √(β₂^r / (1 - β₂^(t+r))),

a sum over s points b_r with masses a_r, which Gauss's quadrature for these points replaces by one over a few.

A table of which a batch reads few rows may come with a sparse gradient. A compiled kernel takes the step from it in one
pass over the table. Without, it is written into a table of zeros that lives as long as the optimiser, and after the
step only the rows it touched are zeroed again.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from prismrec import kernels
from prismrec.blocks import block_entries

_ACCURACY = 1e-10
"""Relative error of the drift allowed to the quadrature."""
_BLOCK_ENTRIES = 1 << 18
"""Weights moved at once on a CPU, so that intermediate results stay within a core's cache."""
_BETAS, _EPSILON = (0.9, 0.999), 1e-8
"""Of Adam, as everywhere."""

_Float64Array = npt.NDArray[np.float64]


class _Moments(NamedTuple):
    """What Adam remembers of a weight, by the names that torch gives it."""

    exp_avg: Tensor  # m
    exp_avg_sq: Tensor  # v
    step: Tensor  # t, a float32 scalar


class Adam:
    """torch's fused Adam, to which an absent gradient of a drifting weight means zero, its effect put off.

    torch.optim.Adam itself is not used because it imports torch's compiler, two seconds and 70 MB.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], drifting: Iterable[nn.Parameter], lr: float, weight_decay: float
    ) -> None:
        """Take over the parameters.

        Args:
            parameters: all weights to train.
            drifting: those of them that drift; from a step without their gradient to `catch_up` nobody may read them.
            lr: the learning rate η.
            weight_decay: L2 penalty added to every gradient; with one, nothing can be put off.
        """
        self._weight_decay = weight_decay
        self._parameters = list(parameters)
        on_gpu = self._parameters[0].is_cuda
        # Where a GPU finds it when it repeats a recorded step; a number would be the one it was recorded with.
        self._rate = torch.zeros((), dtype=torch.float32, device=self._parameters[0].device) if on_gpu else None
        self.lr = lr
        self._moments: dict[nn.Parameter, _Moments] = {}
        self._put_off = dict.fromkeys(drifting, 0)
        self._dense_gradients: dict[nn.Parameter, Tensor] = {}  # zeros between steps

    @property
    def lr(self) -> float:
        """The learning rate η; `catch_up` before it is changed."""
        return self._lr

    @lr.setter
    def lr(self, rate: float) -> None:
        self._lr = rate
        if self._rate is not None:
            self._rate.fill_(rate)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One step; sparse gradients are used up by it.

        Raises:
            RuntimeError: a weight whose drift is put off has a gradient, so it was read too early.
        """
        self._put_off_or_fill()
        for parameter in self._parameters:
            if parameter.grad is not None and parameter not in self._moments:
                if parameter.is_cuda and torch.cuda.is_current_stream_capturing():
                    raise RuntimeError("a weight has its first gradient in a step that is recorded")
                step = torch.zeros((), dtype=torch.float32, device=parameter.device)
                self._moments[parameter] = _Moments(torch.zeros_like(parameter), torch.zeros_like(parameter), step)
        written = []
        for parameter in filter(_has_sparse_gradient, self._parameters):
            if kernels.usable(parameter):
                self._move_by_rows(parameter)
            else:
                written.append(self._write_out(parameter))
        moving = [parameter for parameter in self._parameters if parameter.grad is not None]
        if moving:
            self._move(moving)
        for parameter, rows in written:
            self._dense_gradients[parameter].index_fill_(0, rows, 0)
            parameter.grad = None

    def step_repeated(self) -> None:
        """Note that a GPU has taken the last step once more, from its record of it."""
        for parameter, steps in self._put_off.items():
            if parameter.grad is None and parameter in self._moments:
                self._put_off[parameter] = steps + 1

    def _move(self, parameters: list[nn.Parameter]) -> None:
        """Adam's step for parameters that have gradients."""
        moments = [self._moments[parameter] for parameter in parameters]
        adam(
            list(parameters),
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [each.exp_avg for each in moments],
            [each.exp_avg_sq for each in moments],
            [],
            [each.step for each in moments],
            lr=self.lr if self._rate is None else self._rate,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            weight_decay=self._weight_decay,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
            fused=True,
        )

    def _put_off_or_fill(self) -> None:
        for parameter, steps in self._put_off.items():
            if parameter.grad is not None:
                if steps:
                    raise RuntimeError("a drifting weight was read before it caught up")
            elif parameter in self._moments:
                if self._weight_decay:
                    parameter.grad = torch.zeros_like(parameter)
                else:
                    self._put_off[parameter] = steps + 1

    def _move_by_rows(self, parameter: nn.Parameter) -> None:
        """Adam's step for a parameter with a sparse gradient, which it uses up."""
        assert parameter.grad is not None
        moments = self._moments[parameter]
        moments.step.add_(1)
        kernels.adam(
            parameter,
            moments.exp_avg,
            moments.exp_avg_sq,
            parameter.grad._indices()[0],
            parameter.grad._values(),
            step=int(moments.step),
            lr=self.lr,
            betas=_BETAS,
            epsilon=_EPSILON,
            weight_decay=self._weight_decay,
        )
        parameter.grad = None

    def _write_out(self, parameter: nn.Parameter) -> tuple[nn.Parameter, Tensor]:
        """Put the dense gradient in the place of the sparse one; the parameter and its rows that are not zero."""
        assert parameter.grad is not None
        if parameter not in self._dense_gradients:
            self._dense_gradients[parameter] = torch.zeros_like(parameter)
        rows = parameter.grad._indices()[0]
        parameter.grad = self._dense_gradients[parameter].index_add_(0, rows, parameter.grad._values())
        return parameter, rows

    @torch.no_grad()
    def catch_up(self) -> None:
        """Take the steps put off; to be called before the drifting weights are read again, or saved."""
        for parameter, steps in self._put_off.items():
            if not steps:
                continue
            moments = self._moments[parameter]
            nodes, masses = _drift(float(moments.step), steps, self.lr, *_BETAS)
            size = block_entries(parameter, _BLOCK_ENTRIES)
            flat = (x.view(-1).split(size) for x in (parameter, moments.exp_avg, moments.exp_avg_sq))
            for weight, mean, square in zip(*flat, strict=True):
                root = square.sqrt()
                factor = torch.zeros_like(root)
                for node, mass in zip(nodes.tolist(), masses.tolist(), strict=True):
                    factor += (root * node).add_(_EPSILON).reciprocal_().mul_(mass)
                weight.addcmul_(mean, factor, value=-1)
            moments.exp_avg.mul_(_BETAS[0] ** steps)
            moments.exp_avg_sq.mul_(_BETAS[1] ** steps)
            moments.step.add_(steps)
            self._put_off[parameter] = 0

    def state(self) -> dict[str, Tensor]:
        """Copies of all moments on the CPU: "3.exp_avg" belongs to the fourth parameter."""
        return {
            f"{index}.{name}": tensor.to("cpu", copy=True)
            for index, parameter in enumerate(self._parameters)
            if parameter in self._moments
            for name, tensor in self._moments[parameter]._asdict().items()
        }

    def restore(self, state: dict[str, Tensor]) -> None:
        """The inverse of `state`."""
        for index, parameter in enumerate(self._parameters):
            if f"{index}.step" in state:
                tensors = (state[f"{index}.{name}"] for name in _Moments._fields)
                self._moments[parameter] = _Moments(*(x.to(parameter.device, copy=True) for x in tensors))


def _has_sparse_gradient(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and parameter.grad.is_sparse


def _drift(step: float, steps: int, lr: float, beta1: float, beta2: float) -> tuple[_Float64Array, _Float64Array]:
    """Few nodes and masses instead of the b_r and a_r of `steps` steps after `step`."""
    r = np.arange(1.0, steps + 1)
    masses = lr * beta1**r / (1 - beta1 ** (step + r))
    points = np.sqrt(beta2**r / (1 - beta2 ** (step + r)))
    # Of all 1 / (b x + ε) the quadrature is worst at the one for large x, 1 / b.
    exact = (masses / points).sum()
    for count in range(1, steps + 1):
        nodes, weights = _gauss(points, masses, count)
        if abs((weights / nodes).sum() - exact) <= _ACCURACY * exact:
            return nodes, weights
    return points, masses


def _gauss(points: _Float64Array, masses: _Float64Array, count: int) -> tuple[_Float64Array, _Float64Array]:
    """The `count` nodes and masses that integrate polynomials up to degree 2 count - 1 as the points do.

    Golub and Welsch, 1969: the eigenvalues of the Jacobi matrix, which Lanczos's process builds from the points.
    """
    basis = np.zeros((count, len(points)))
    diagonal, off_diagonal = np.zeros(count), np.zeros(count)
    vector = np.sqrt(masses)
    for n in range(count):
        vector -= basis.T @ (basis @ vector)
        vector -= basis.T @ (basis @ vector)  # once more: rounding must not spoil the orthogonality
        off_diagonal[n] = np.linalg.norm(vector)
        basis[n] = vector / off_diagonal[n]
        vector = points * basis[n]
        diagonal[n] = vector @ basis[n]
    jacobi = np.diag(diagonal) + np.diag(off_diagonal[1:], 1) + np.diag(off_diagonal[1:], -1)
    nodes, vectors = np.linalg.eigh(jacobi)
    return nodes, masses.sum() * vectors[0] ** 2
