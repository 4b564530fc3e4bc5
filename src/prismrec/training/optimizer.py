"""Adam, with fast steps for two gradients of recommenders: sparse ones, and ones that are absent in most steps."""

from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.utils.hooks import RemovableHandle

from prismrec.ops.adam import BETAS, EPSILON, Moments, can_step_by_rows, step_by_rows, step_with_zero_gradients
from prismrec.ops.recording import is_recording


class Adam(torch.optim.Optimizer):
    """PyTorch's fused Adam, with support for sparse gradients and with deferred steps for absent gradients.

    An embedding table may have a sparse gradient, because a batch reads few of its rows. The compiled kernel applies it
    in one pass over the table. Without the kernel, the gradient is written into a table of zeros that the optimiser
    reuses.

    In a parameter group with `absent_is_zero`, an absent gradient counts as zero, and momentum still moves the weight.
    These steps are deferred until `apply_deferred_steps`, which takes all of them at once. LATTICE and MICRO learn item
    graphs from one gradient per epoch and were published with that movement.

    The state of a weight has PyTorch's names: `exp_avg`, `exp_avg_sq` and `step`, and in groups with `absent_is_zero`
    also `deferred`, the number of deferred steps.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.0,
        *,
        absent_is_zero: bool = False,
    ) -> None:
        """Take parameters or parameter groups.

        Args:
            params: parameters, or groups as for any PyTorch optimiser.
            lr: the learning rate η.
            weight_decay: an L2 penalty, added to every gradient. Unless it is 0, no step is deferred.
            absent_is_zero: whether an absent gradient counts as zero.
        """
        self._dense_gradients: dict[Tensor, Tensor] = {}  # all zeros between steps
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "absent_is_zero": absent_is_zero})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; PyTorch's own method would import its compiler, which takes two seconds and 70 MB.

        Raises:
            ValueError: a parameter is already in a group.
        """
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {parameter for group in self.param_groups for parameter in group["params"]}
        if known & set(params):
            raise ValueError("a parameter is in two groups")
        self.param_groups.append({**self.defaults, **param_group, "params": params})

    def _patch_step_function(self) -> None:
        """Do not wrap `step` for step hooks and PyTorch's profiler before a hook is registered: that takes 0.1 ms."""

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` before each step, as PyTorch's optimisers do."""
        super()._patch_step_function()
        return super().register_step_pre_hook(hook)

    def register_step_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(optimizer, args, kwargs)` after each step, as PyTorch's optimisers do."""
        super()._patch_step_function()
        return super().register_step_post_hook(hook)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients; see `add_param_group` for why PyTorch's own method is not used.

        Raises:
            ValueError: `set_to_none` is False.
        """
        if not set_to_none:
            raise ValueError("gradients are dropped, not set to zero")
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.grad = None

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of all groups; apply deferred steps first.

        On a GPU the rate is a tensor, so that a recorded step reads the current value.
        """
        for group in self.param_groups:
            device = next((parameter.device for parameter in group["params"]), torch.device("cpu"))
            if device.type == "cpu":
                group["lr"] = lr
            elif isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = torch.full((), lr, dtype=torch.float32, device=device)

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Take one step; sparse gradients are consumed by it.

        Args:
            closure: computes the loss and its gradients, if given.

        Raises:
            RuntimeError: a weight has a gradient although it has deferred steps, so it was read too early.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group["absent_is_zero"]:
                self._defer(group)
            self._step_group(group)
        return loss

    def _defer(self, group: dict[str, Any]) -> None:
        """Count a deferred step for each weight without a gradient."""
        for parameter in group["params"]:
            state = self.state.get(parameter)
            if not state:
                continue  # without a first gradient there is no momentum
            if parameter.grad is None and group["weight_decay"]:
                parameter.grad = torch.zeros_like(parameter)
            elif parameter.grad is None:
                state["deferred"].add_(1)  # a tensor, so that a GPU counts the steps that it replays
            elif not is_recording(parameter) and state["deferred"]:
                raise RuntimeError("a weight was read before its deferred steps were applied")

    def _step_group(self, group: dict[str, Any]) -> None:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        written = []  # parameters with a gradient in the reused tables, and its nonzero rows
        for parameter in parameters:
            self._create_state(parameter, group)
            if parameter.grad.is_sparse and can_step_by_rows(parameter):
                step_by_rows(parameter, self._moments(parameter), parameter.grad, group["lr"], group["weight_decay"])
                parameter.grad = None
            elif parameter.grad.is_sparse:
                written.append((parameter, self._write_dense_gradient(parameter)))
        self._step_dense(group, [parameter for parameter in parameters if parameter.grad is not None])
        for parameter, rows in written:
            self._dense_gradients[parameter].index_fill_(0, rows, 0)
            parameter.grad = None

    def _create_state(self, parameter: Tensor, group: dict[str, Any]) -> None:
        if parameter in self.state:
            return
        if is_recording(parameter):
            raise RuntimeError("a weight gets its first gradient in a recorded step")
        state = self.state[parameter]
        state["step"] = torch.zeros((), dtype=torch.float32, device=parameter.device)
        state["exp_avg"] = torch.zeros_like(parameter)
        state["exp_avg_sq"] = torch.zeros_like(parameter)
        if group["absent_is_zero"]:
            state["deferred"] = torch.zeros((), dtype=torch.int64, device=parameter.device)

    def _moments(self, parameter: Tensor) -> Moments:
        state = self.state[parameter]
        return Moments(state["exp_avg"], state["exp_avg_sq"], state["step"])

    def _write_dense_gradient(self, parameter: Tensor) -> Tensor:
        """Replace the sparse gradient by a dense one and return its nonzero rows."""
        assert parameter.grad is not None
        if parameter not in self._dense_gradients:
            self._dense_gradients[parameter] = torch.zeros_like(parameter)
        rows = parameter.grad._indices()[0]
        parameter.grad = self._dense_gradients[parameter].index_add_(0, rows, parameter.grad._values())
        return rows

    def _step_dense(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        if not parameters:
            return
        moments = [self._moments(parameter) for parameter in parameters]
        adam(
            parameters,
            [parameter.grad for parameter in parameters if parameter.grad is not None],
            [each.exp_avg for each in moments],
            [each.exp_avg_sq for each in moments],
            [],  # read by AMSGrad only
            [each.step for each in moments],
            lr=group["lr"],
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=group["weight_decay"],
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
            fused=True,
        )

    @torch.no_grad()
    def apply_deferred_steps(self) -> None:
        """Take the deferred steps; required before their weights are read, and before the learning rate changes."""
        for group in self.param_groups:
            if not group["absent_is_zero"]:
                continue
            for parameter in group["params"]:
                state = self.state.get(parameter, {})  # reading a missing state would create it
                steps = int(state["deferred"]) if state else 0
                if steps:
                    step_with_zero_gradients(parameter, self._moments(parameter), steps, float(group["lr"]))
                    state["deferred"].zero_()
