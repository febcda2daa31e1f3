"""What a GPU would wait for: no step asks the device for a number, and a compiler sees one graph.

On tensors without values `.item()`, and shapes that depend on values, raise an error.
"""

import numpy as np
import pytest
import torch
from small import batch, example, rotated
from torch._dynamo import explain
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.func import functional_call
from torch.nn import functional as F  # noqa: N812

from model.config import NetworkConfig
from model.encoder_settings import ENCODERS
from model.network.batch import Batch, collate
from model.network.batch_norm import BatchNorm
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.network.encoders import encoder_class
from model.network.message_passing import Graph


def without_values(made: Batch, mode: FakeTensorMode) -> Batch:
    def fake(value):
        return (
            value._each(mode.from_tensor) if isinstance(value, Graph) else mode.from_tensor(value)
        )

    return made._each(fake)


def new_network(encoder: str, fusion: str) -> CrysMMNet:
    sizes = NetworkConfig(encoder=encoder, fusion=fusion, modality_dropout=0.2)
    return CrysMMNet(CrysMMNetConfig.from_settings(sizes, "both", 12)).train()


@pytest.mark.parametrize("fusion", ["concat", "cross-attention"])
@pytest.mark.parametrize("encoder", ENCODERS)
def test_forward_and_backward_ask_for_no_number(encoder, fusion, crystals, silicon):
    model = new_network(encoder, fusion)
    for some in (list(crystals.values()), [silicon]):  # of one class of atoms, the second
        mode = FakeTensorMode()
        angles = encoder_class(encoder).reads_angles
        made = without_values(collate([example(one) for one in some], angles, "torch"), mode)
        weights = {k: mode.from_tensor(v) for k, v in model.state_dict(keep_vars=True).items()}
        with mode:
            F.mse_loss(functional_call(model, weights, (made,)), made.target).backward()


def test_a_step_that_asks_would_be_seen(crystals):
    mode = FakeTensorMode()
    made = without_values(batch(list(crystals.values())), mode)
    with mode, pytest.raises(DataDependentOutputException):
        made.target.sum().item()


def test_the_papers_network_compiles_without_a_break(crystals):
    made = collate([example(one) for one in crystals.values()], True, "torch").settled()
    found = explain(new_network("alignn", "concat"))(made)
    assert (found.graph_count, found.graph_break_count) == (1, 0)


@pytest.mark.parametrize("count", [None, 1, 4])
def test_one_row_is_normed_by_what_there_is(count):
    """Alone it has no spread: running statistics norm it and stay. As one of four it is their mean."""
    chance = torch.Generator().manual_seed(0)
    norm = BatchNorm(3).train()
    norm.running_mean.copy_(torch.randn(3, generator=chance))
    norm.bias.data.copy_(torch.randn(3, generator=chance))
    before = norm.running_mean.clone()
    x = torch.randn(1, 3, generator=chance, requires_grad=True)
    counts = None if count is None else torch.tensor([float(count)])
    found = norm(x, counts)
    found.sum().backward()
    assert torch.isfinite(x.grad).all()
    if count == 4:
        assert torch.allclose(found, norm.bias)
        assert torch.allclose(norm.running_mean, before.lerp(x[0].detach(), 0.1))
        assert torch.allclose(norm.running_var, torch.full((3,), 0.9))
        assert norm.num_batches_tracked == 1
    else:
        assert torch.allclose(found, (x - before) / np.sqrt(1 + norm.eps) + norm.bias)
        assert torch.equal(norm.running_mean, before) and norm.num_batches_tracked == 0


def test_batches_know_their_largest_crystal(crystals):
    made = batch([rotated(one) for one in crystals.values()])
    assert made.most_atoms == int(made.n_atoms.max()) == made.atoms.largest
