"""Batch norm over classes of equal rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of rows that may stand for several equal ones, with the statistics of them all.

    Also takes a single row, say a crystal of one atom alone in a batch: it has no spread to
    normalise by, so the running statistics are used.
    """

    over_processes = False  # whether the statistics are of the rows of all processes together

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        """(n, d) rows and their (n,) counts to (n, d); without counts each row stands for itself."""
        if not self.training:
            return super().forward(x)
        if self.over_processes:
            counts = x.new_ones(len(x)) if counts is None else counts
            n = summed(counts.sum(dtype=torch.float32))
            return self.weighted(x, counts, n)
        if len(x) == 1:
            return self.of_one_row(x, counts)
        if counts is None:
            return super().forward(x)
        return self.weighted(x, counts, counts.sum())

    def of_one_row(self, x: Tensor, counts: Tensor | None) -> Tensor:
        """One normed row (1, d), which may stand for several; that is decided on the device."""
        assert self.running_mean is not None and self.running_var is not None
        if counts is None:
            mean, variance = self.running_mean, self.running_var
        else:  # which may move below, and the gradient needs what they were
            mean, variance = self.running_mean.clone(), self.running_var.clone()
        by_running = F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
        if counts is None:
            return by_running
        alone = counts == 1
        n = torch.where(alone, 2, counts)  # where it is alone, this is not used
        return torch.where(alone, by_running, self.weighted(x, n, n.sum(), moves=~alone))

    def weighted(self, x: Tensor, counts: Tensor, n: Tensor, moves: Tensor | None = None) -> Tensor:
        """Normed rows (n, d), where the rows of all stand for n; `moves` (1,) says if statistics move."""
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        share = (counts / n).to(x.dtype)[:, None]
        normed, mean, variance = WeightedNorm.apply(
            x, share, self.weight, self.bias, self.eps, self.over_processes
        )
        self.remember(mean, variance * (n / (n - 1)), moves)
        return normed

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor, moves: Tensor | None = None) -> None:
        """Move the running statistics, as nn.BatchNorm1d does."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        mean, variance = mean.to(self.running_mean.dtype), variance.to(self.running_var.dtype)
        if moves is not None:
            mean = torch.where(moves, mean, self.running_mean)
            variance = torch.where(moves, variance, self.running_var)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked.add_(1 if moves is None else moves[0].to(torch.int64))


def join_statistics(model: nn.Module) -> None:
    """From now on batch statistics are those of all processes: the network trains as one process would."""
    for module in model.modules():
        if isinstance(module, BatchNorm):
            module.over_processes = True


def summed(values: Tensor, over_processes: bool = True) -> Tensor:
    """The values, added up over the processes if asked for; in place."""
    if over_processes:
        dist.all_reduce(values)
    return values


class WeightedNorm(torch.autograd.Function):
    """Batch norm with a share of the statistics for each row, and its gradient in few passes."""

    @staticmethod
    def forward(ctx, x, share, weight, bias, eps, over_processes):  # (n, d), (n, 1), (d,), (d,)
        mean = summed((share.T @ x)[0], over_processes)
        normed = x - mean
        variance = summed((share.T @ normed.square())[0], over_processes)
        scale = torch.rsqrt(variance + eps)
        normed *= scale
        ctx.save_for_backward(normed, share, weight, scale)
        ctx.over_processes = over_processes
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(bias, normed, weight), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *unused):
        normed, share, weight, scale = ctx.saved_tensors
        of_bias, of_weight = grad.sum(0), (grad * normed).sum(0)
        if ctx.over_processes:  # the statistics carry what all processes ask for
            all_bias, all_weight = summed(torch.stack((of_bias, of_weight)))
        else:
            all_bias, all_weight = of_bias, of_weight
        through_statistics = torch.addcmul(all_bias, normed, all_weight)
        of_x = torch.addcmul(grad, through_statistics, share, value=-1).mul_(scale * weight)
        return of_x, None, of_weight, of_bias, None, None
