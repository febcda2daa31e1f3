"""Batch norm over classes of equal rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F  # noqa: N812


class BatchNorm(nn.BatchNorm1d):
    """Batch norm of rows that may stand for several equal ones, with the statistics of them all.

    Also takes a single row, say a crystal of one atom alone in a batch: it has no spread to
    normalise by, so the running statistics are used.
    """

    def forward(self, x: Tensor, counts: Tensor | None = None) -> Tensor:
        """(n, d) rows and their (n,) counts to (n, d); without counts each row stands for itself."""
        if not self.training:
            return super().forward(x)
        if len(x) == 1 and (counts is None or counts.item() == 1):
            return F.batch_norm(
                x, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        if counts is None:
            return super().forward(x)
        n = counts.sum()
        x = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        share = (counts / n).to(x.dtype)[:, None]
        normed, mean, variance = WeightedNorm.apply(x, share, self.weight, self.bias, self.eps)
        self.remember(mean, variance * (n / (n - 1)))
        return normed

    @torch.no_grad()
    def remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics, as nn.BatchNorm1d does."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)
        self.num_batches_tracked.add_(1)


class WeightedNorm(torch.autograd.Function):
    """Batch norm with a share of the statistics for each row, and its gradient in few passes."""

    @staticmethod
    def forward(ctx, x, share, weight, bias, eps):  # (n, d), (n, 1), (d,), (d,)
        mean = (share.T @ x)[0]
        normed = x - mean
        variance = (share.T @ normed.square())[0]
        scale = torch.rsqrt(variance + eps)
        normed *= scale
        ctx.save_for_backward(normed, share, weight, scale)
        ctx.mark_non_differentiable(mean, variance)
        return torch.addcmul(bias, normed, weight), mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx, grad, *unused):
        normed, share, weight, scale = ctx.saved_tensors
        of_bias, of_weight = grad.sum(0), (grad * normed).sum(0)
        through_statistics = torch.addcmul(of_bias, normed, of_weight)
        of_x = torch.addcmul(grad, through_statistics, share, value=-1).mul_(scale * weight)
        return of_x, None, of_weight, of_bias, None
