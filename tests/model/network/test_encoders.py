"""Every graph network: the same formula written plainly, physics, quotients, published sizes and outputs."""

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from golden import set_weights
from pymatgen.core import Lattice
from small import batch, network, predict, reordered, rotated, shifted, supercell
from torch.nn import functional as F  # noqa: N812

from curate import StructureRecord
from curate.errors import InputError
from curate.sources.sample import Sample
from model.config import GraphConfig, NetworkConfig
from model.encoder_settings import ENCODERS, encoder
from model.graphs.crystal_graph import build_graph, with_sums
from model.network.crysmmnet import CrysMMNet
from model.network.encoders import encoder_class, encoder_settings

GOLDEN = Path(__file__).parents[2] / "data" / "golden"
SMALL = {name: NetworkConfig(encoder=name, width=16, layers=2) for name in ENCODERS}
SMALL["alignn"] = NetworkConfig(width=16, alignn_layers=1, gcn_layers=1, embedding_width=8)


@pytest.fixture(scope="module")
def sample():
    return list(Sample().records())[:24]


@pytest.fixture(params=list(ENCODERS))
def name(request):
    return request.param


def crystals(encoder, found):
    """What the encoder and its own readout make of each crystal."""
    return encoder.readout(encoder(found)).detach().numpy()


def small(name):
    return network(sizes=SMALL[name])


def graph_config(name, kind="quotient") -> GraphConfig:
    return GraphConfig(graph=kind, self_bonds=encoder_class(name).self_bonds)


@pytest.mark.parametrize("way", [rotated, shifted, reordered])
def test_prediction_does_not_depend_on_how_the_crystal_is_written(name, sample, way):
    model, config = small(name), graph_config(name)
    written = [way(record) for record in sample]
    assert predict(model, written, config) == pytest.approx(
        predict(model, sample, config), abs=2e-5
    )


def test_prediction_of_a_supercell_or_another_cell_is_that_of_the_crystal(name, sample, silicon):
    copper = StructureRecord(
        "copper",
        ((0, 1.8075, 1.8075), (1.8075, 0, 1.8075), (1.8075, 1.8075, 0)),
        ("Cu",),
        ((0, 0, 0),),
    )
    crystals = [copper, silicon, *sample[:6]]
    model, config = small(name), graph_config(name)
    expected = pytest.approx(predict(model, crystals, config), abs=2e-5)
    for times in ((2, 1, 1), ((1, 1, 0), (0, 1, 0), (0, 0, 1))):  # the second: a skewed cell
        assert predict(model, [supercell(r, times) for r in crystals], config) == expected


def test_a_batch_gives_what_each_crystal_gives_alone(name, sample):
    model, config = small(name), graph_config(name)
    alone = [predict(model, [record], config)[0] for record in sample]
    assert predict(model, sample, config) == pytest.approx(alone, abs=1e-5)


def test_quotients_give_the_outputs_gradients_and_statistics_of_whole_graphs(name, sample):
    results = []
    for kind in ("full", "quotient"):
        model = small(name).double().train()
        for part in (model.graph_projection, model.text_projection):
            part.dropout.p = 0.0
        found = in_double(batch(sample, graph_config(name, kind)))
        assert (found.graph.node_counts is not None) == (kind == "quotient")
        output = model(found)
        F.mse_loss(output, found.target).backward()
        gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        running = {n: value for n, value in model.named_buffers() if "running" in n}
        results.append((output.detach(), gradients, running))
    (full, gradients, running), (folded, gradients_folded, running_folded) = results
    assert torch.allclose(full, folded, rtol=1e-5, atol=1e-6)
    largest = max(gradient.norm() for gradient in gradients.values())
    for parameter, gradient in gradients.items():
        if gradient.norm() > 1e-9 * largest:  # a bias before a batch norm has none
            error = (gradient - gradients_folded[parameter]).norm() / gradient.norm()
            assert error < 1e-4, parameter
    for statistic, value in running.items():
        assert torch.allclose(value, running_folded[statistic], rtol=1e-5, atol=1e-6), statistic


def in_double(found):
    for graph in (found.graph, found.line_graph):
        if graph.node_counts is not None:
            graph.node_counts = graph.node_counts.double()
            graph.edge_counts = graph.edge_counts.double()
    names = ("lengths", "cosines", "text", "target")
    return replace(found, **{n: getattr(found, n).double() for n in names})


@pytest.mark.dgl
def test_torch_and_dgl_agree_bit_for_bit(name, sample):
    outputs = []
    for backend in ("dgl", "torch"):
        model = small(name).train()
        found = batch(sample, graph_config(name))
        found.graph.backend = found.line_graph.backend = backend
        torch.manual_seed(0)
        output = model(found)
        output.sum().backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        outputs.append([output.detach(), *grads])
    assert all(torch.equal(one, other) for one, other in zip(*outputs, strict=True))


def test_one_crystal_of_one_atom_can_be_trained_on(name):
    argon = StructureRecord("argon", ((5.3, 0, 0), (0, 5.3, 0), (0, 0, 5.3)), ("Ar",), ((0, 0, 0),))
    output = small(name).train()(batch([argon], graph_config(name)))
    output.sum().backward()
    assert output.shape == (1,) and torch.isfinite(output).all()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # ALIGNN's default network is known to have 4,026,753 parameters, 257 of them in its head
        ("alignn", 4_026_753 - 257),
        # CGCNN's own CrystalGraphConvNet: embedding and three ConvLayers, without its head
        ("cgcnn", 93 * 64 + 3 * ((2 * 64 + 41 + 1) * 128 + 2 * 128 + 2 * 64)),
        # PyTorch Geometric's SchNet has 455,809: one row of the embedding less, and a head of 8,321
        ("schnet", 455_809 - 8_321 + 128),
        # coGN: 32 functions and 92 features in, five blocks of five maps of bonds and one of atoms
        ("cogn", (33 + 93) * 128 + 5 * ((3 * 128 + 1) * 128 + 5 * 129 * 128)),
        # Matformer: keys, queries, values and bonds of four heads, and what joins them, five times
        (
            "matformer",
            (93 + 129 + 129) * 128
            + 5 * (3 * 129 * 512 + 128 * 512 + 385 * 384 + 385 * 128 + 513 * 128 + 129 * 128)
            + 5 * (2 * 384 + 2 * 128 + 2 * 128),
        ),
    ],
)
def test_sizes_are_those_of_the_papers_and_their_code(name, expected):
    sizes = NetworkConfig(encoder=name)
    made = network(sizes=sizes).graph_encoder
    assert sum(p.numel() for p in made.parameters()) == expected


def test_cgcnn_by_its_formula(rutile):
    """Equation 5 of the paper with the released batch norms, atom by atom in numpy."""
    model = small("cgcnn")
    encoder = model.graph_encoder.double()
    found = in_double(batch([rutile], graph_config("cgcnn", "full")))
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    graph = build_graph(rutile)
    x = linear(weights, "atom_embedding", weights["atom_features.features"][graph.atomic_numbers])
    lengths = np.linalg.norm(graph.vectors.astype(np.float32), axis=1)
    y = np.exp(-(((lengths[:, None] - np.linspace(0, 8, 41)) / 0.2) ** 2))
    for k in range(2):
        layer = f"layers.{k}"
        w = np.hstack([weights[f"{layer}.pairs.of_{part}.weight"] for part in PARTS])
        new = []
        for i in range(graph.n_atoms):
            total = 0
            for edge in np.flatnonzero(graph.dst == i):
                z = np.concatenate((x[i], x[graph.src[edge]], y[edge]))
                z = normed(
                    weights, f"{layer}.bn_bonds", w @ z + weights[f"{layer}.pairs.of_head.bias"]
                )
                total = total + 1 / (1 + np.exp(-z[:16])) * np.log1p(np.exp(z[16:]))
            new.append(np.log1p(np.exp(x[i] + normed(weights, f"{layer}.bn_atoms", total))))
        x = np.array(new)
    assert crystals(encoder, found)[0] == pytest.approx(x.mean(0), abs=1e-6)


PARTS = ("head", "tail", "bond")


def linear(weights, name, x):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def normed(weights, name, x):
    spread = np.sqrt(weights[f"{name}.running_var"] + 1e-5)
    x = (x - weights[f"{name}.running_mean"]) / spread
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


@pytest.mark.parametrize("version", [1, 2])
def test_schnet_by_its_formula(rutile, version):
    """As PyTorch Geometric has it, and as it was before: models of then keep their numbers."""
    sizes = {"width": 16, "layers": 2, "encoder_version": version}
    config = replace(small("schnet").settings, encoder_settings=sizes)
    torch.manual_seed(0)
    encoder = CrysMMNet(config).graph_encoder.double()
    found = in_double(batch([rutile], graph_config("schnet", "full")))
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    graph = build_graph(rutile)
    x = weights["atom_embedding.weight"][graph.atomic_numbers]
    lengths = np.linalg.norm(graph.vectors.astype(np.float32), axis=1)
    spacing = 10 / 49
    y = np.exp(-0.5 * ((lengths[:, None] - np.linspace(0, 10, 50)) / spacing) ** 2)
    for k in range(2):
        f = shifted_softplus(linear(weights, f"layers.{k}.filter.0", y))
        f = linear(weights, f"layers.{k}.filter.2", f)
        faded = (1 + np.cos(np.pi * lengths[:, None] / 10)) / 2
        f = shifted_softplus(f) if version == 1 else f * faded
        messages = (x @ weights[f"layers.{k}.into.weight"].T)[graph.src] * f
        total = np.zeros_like(x)
        np.add.at(total, graph.dst, messages)
        v = shifted_softplus(linear(weights, f"layers.{k}.out.0", total))
        x = x + linear(weights, f"layers.{k}.out.2", v)
    assert crystals(encoder, found)[0] == pytest.approx(x.mean(0), abs=1e-6)


def shifted_softplus(x):
    return np.log(0.5 * np.exp(x) + 0.5)


def test_gatgnn_by_its_formula(rutile):
    encoder = small("gatgnn").graph_encoder.double()
    found = in_double(batch([rutile], graph_config("gatgnn", "full")))
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    graph = build_graph(rutile)
    x = linear(weights, "atom_embedding", weights["atom_features.features"][graph.atomic_numbers])
    lengths = np.linalg.norm(graph.vectors.astype(np.float32), axis=1)
    y = np.exp(-(((lengths[:, None] - np.linspace(0, 8, 41)) / 0.2) ** 2))
    y = linear(weights, "bond_embedding", y)
    y = np.where(y > 0, y, 0.2 * y)
    for k in range(2):
        layer = f"layers.{k}"
        w = np.hstack([weights[f"{layer}.of_{part}.weight"] for part in ("atoms", "bonds")])
        new = np.zeros((graph.n_atoms, 4, 16))
        for i in range(graph.n_atoms):
            edges = np.flatnonzero(graph.dst == i)
            own, other = (
                np.log1p(np.exp(np.hstack((x[atoms], y[edges])) @ w.T)).reshape(-1, 4, 16)
                for atoms in (np.full(len(edges), i), graph.src[edges])
            )
            scores = (np.concatenate((own, other), 2) * weights[f"{layer}.attention"]).sum(2)
            scores = np.exp(softplus(normed(weights, f"{layer}.bn", softplus(scores))))
            new[i] = (other * (scores / scores.sum(0))[:, :, None]).sum(0)
        x = new.mean(1) + weights[f"{layer}.bias"]
        x = softplus(normed(weights, f"norms.{k}", x))
    elements = np.bincount(graph.atomic_numbers, minlength=101) / graph.n_atoms
    scores = np.hstack((x, np.tile(elements, (graph.n_atoms, 1))))
    scores = np.exp(linear(weights, "weigh.2", softplus(linear(weights, "weigh.0", scores))))
    expected = (x * scores / scores.sum()).sum(0)
    assert crystals(encoder, found)[0] == pytest.approx(expected, abs=1e-6)


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize(
    ("version", "gaussians"),
    [
        (1, lambda x: np.exp(-0.5 * ((x[:, None] - np.linspace(0, 8, 32)) / (8 / 31)) ** 2)),
        (2, lambda x: np.exp(-0.5 * ((x[:, None] - np.arange(1, 33) / 4) / 0.5) ** 2)),
    ],
)
def test_cogn_by_its_formula(rutile, version, gaussians):
    """As published, and as it was before: models of then keep their numbers."""
    sizes = {"width": 16, "layers": 2, "encoder_version": version}
    config = replace(network(sizes=SMALL["cogn"]).settings, encoder_settings=sizes)
    torch.manual_seed(0)
    encoder = CrysMMNet(config).graph_encoder.double()
    found = in_double(batch([rutile], graph_config("cogn", "full")))
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    graph = build_graph(rutile)
    x = linear(weights, "atom_embedding", weights["atom_features.features"][graph.atomic_numbers])
    lengths = np.linalg.norm(graph.vectors.astype(np.float32), axis=1)
    embedded = y = linear(weights, "bond_embedding", gaussians(lengths))
    for k in range(2):
        w = np.hstack([weights[f"layers.{k}.pairs.of_{part}.weight"] for part in PARTS])
        joined = np.hstack((x[graph.dst], x[graph.src], y if version == 1 else embedded))
        y = silu(joined @ w.T + weights[f"layers.{k}.pairs.of_head.bias"])
        for n in (1, 3, 5, 7):
            y = silu(linear(weights, f"layers.{k}.bond_update.{n}", y))
        total = np.zeros_like(x)
        np.add.at(total, graph.dst, y)
        x = x + silu(linear(weights, f"layers.{k}.atom_update.0", total))
    assert crystals(encoder, found)[0] == pytest.approx(x.mean(0), abs=1e-6)


def silu(x):
    return x / (1 + np.exp(-x))


def test_matformer_by_its_formula(rutile):
    encoder = small("matformer").graph_encoder.double()
    config = graph_config("matformer", "full")
    found = in_double(batch([rutile], config))
    weights = {name: value.numpy() for name, value in encoder.state_dict().items()}
    graph = build_graph(rutile, config)
    x = linear(weights, "atom_embedding", weights["atom_features.features"][graph.atomic_numbers])
    lengths = np.linalg.norm(graph.vectors.astype(np.float32), axis=1)
    y = np.exp(-((lengths[:, None] - np.linspace(0, 8, 128)) ** 2) * 127 / 8)
    y = softplus(linear(weights, "bond_embedding.1", y))
    y = linear(weights, "bond_embedding.3", y)
    for k in range(2):
        layer = f"layers.{k}"
        q, key, v = (
            linear(weights, f"{layer}.{part}", x).reshape(-1, 4, 16)
            for part in ("query", "key", "value")
        )
        e = (y @ weights[f"{layer}.bond.weight"].T).reshape(-1, 4, 16)
        i, j = graph.dst, graph.src
        alpha = np.concatenate((q[i], q[i], q[i]), 2) * np.concatenate((key[i], key[j], e), 2)
        gate = 1 / (1 + np.exp(-layer_norm(weights, f"{layer}.norm", alpha / np.sqrt(48))))
        message = gate * linear(weights, f"{layer}.update", np.concatenate((v[i], v[j], e), 2))
        message = linear(weights, f"{layer}.message.0", message)
        message = layer_norm(weights, f"{layer}.message.1", message).reshape(-1, 64)
        total = np.zeros((graph.n_atoms, 64))
        np.add.at(total, i, message)
        new = silu(normed(weights, f"{layer}.bn", linear(weights, f"{layer}.join", total)))
        x = linear(weights, f"{layer}.skip", x) + new
    assert crystals(encoder, found)[0] == pytest.approx(x.mean(0), abs=1e-6)


def layer_norm(weights, name, x):
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    return x * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def test_megnet_by_its_formula(rutile):
    encoder = small("megnet").graph_encoder.double()
    found = in_double(batch([rutile], graph_config("megnet", "full")))
    w = {name: value.numpy() for name, value in encoder.state_dict().items()}
    graph = build_graph(rutile)
    v = w["atom_embedding.weight"][graph.atomic_numbers]
    lengths = np.linalg.norm(graph.vectors.astype(np.float32), axis=1)
    e = np.exp(-(((lengths[:, None] - np.linspace(0, 5, 100)) / 0.5) ** 2))
    u = np.zeros((1, 2))
    for k in range(2):
        b = f"blocks.{k}"
        v1, e1, u1 = (dense(w, f"{b}.before.{n}", x, 2) for n, x in enumerate((v, e, u)))
        per_edge = np.tile(u1, (graph.n_bonds, 1))
        joined = np.hstack((v1[graph.dst], v1[graph.src], e1, per_edge))
        first = np.hstack(
            [w[f"{b}.of_pairs.of_{part}.weight"] for part in PARTS] + [w[f"{b}.of_state.weight"]]
        )
        e2 = shifted_softplus(joined @ first.T + w[f"{b}.of_pairs.of_head.bias"])
        for n in (1, 3):
            e2 = shifted_softplus(linear(w, f"{b}.bond_update.{n}", e2))
        arrived = np.array([e2[graph.dst == i].mean(0) for i in range(graph.n_atoms)])
        v2 = dense(w, f"{b}.atom_update", np.hstack((arrived, v1, np.tile(u1, (len(v1), 1)))), 3)
        u2 = dense(w, f"{b}.state_update", np.hstack((e2.mean(0), v2.mean(0), u1[0]))[None], 3)
        if k == 0:
            v, e, u = v1, e1, u1
        v, e, u = v + v2, e + e2, u + u2
    atoms = set2set(w, "read_atoms", linear(w, "pool_atoms", v))
    bonds = set2set(w, "read_bonds", linear(w, "pool_bonds", e))
    expected = np.concatenate((atoms, bonds, u[0]))
    assert crystals(encoder, found)[0] == pytest.approx(expected, abs=1e-6)


def dense(weights, name, x, layers):
    for n in range(layers):
        x = shifted_softplus(linear(weights, f"{name}.{2 * n}", x))
    return x


def set2set(weights, name, x):
    """Equations 3 to 7 of Vinyals et al., three steps."""
    width = x.shape[1]
    hidden, cell, seen = np.zeros(width), np.zeros(width), np.zeros(2 * width)
    for _ in range(3):
        gates = weights[f"{name}.lstm.weight_ih"] @ seen + weights[f"{name}.lstm.bias_ih"]
        gates += weights[f"{name}.lstm.weight_hh"] @ hidden + weights[f"{name}.lstm.bias_hh"]
        i, f, g, o = np.split(gates, 4)
        cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
        hidden = sigmoid(o) * np.tanh(cell)
        share = np.exp(x @ hidden)
        seen = np.concatenate((hidden, share / share.sum() @ x))
    return seen


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("translations", [3, 6])
def test_self_bonds_are_the_shortest_translations(silicon, translations):
    """fcc silicon, cubic cell of 5.43 Å: three translations of 5.43/√2 Å, both ways, per atom; sums of two
    of them, at 60 degrees, are √3 times as long."""
    config = GraphConfig(max_neighbors=4, self_bonds=True, self_bond_translations=translations)
    graph = build_graph(supercell(silicon, (2, 1, 1)), config)
    own = graph.src == graph.dst
    assert graph.n_atoms == 2 and own.sum() == 2 * translations * 2
    length = np.linalg.norm(np.array(silicon.lattice_vectors), axis=1).min()
    expected = [length] * 12 + [length * 3**0.5] * (12 if translations == 6 else 0)
    assert sorted(np.linalg.norm(graph.vectors[own], axis=1)) == pytest.approx(expected, rel=1e-5)


def test_self_bonds_of_rutile_are_the_released_six(rutile):
    """Matformer's a, b, c, a + b, a + c and b + c of a tetragonal cell."""
    graph = build_graph(rutile, GraphConfig(max_neighbors=3, self_bonds=True))
    own = (graph.src == 0) & (graph.dst == 0)
    a, c = 4.594, 2.959
    expected = sorted([c, a, a, a * 2**0.5, np.hypot(a, c), np.hypot(a, c)] * 2)
    assert sorted(np.linalg.norm(graph.vectors[own], axis=1)) == pytest.approx(expected, rel=1e-5)


def test_sums_of_translations_do_not_depend_on_the_last_digits_of_a_right_angle():
    """Acute beside an angle of 90.0001 or 89.9999 degrees: none counts as acute."""
    found = []
    for angle in (89.9999, 90.0001):
        lattice = Lattice.from_parameters(3, 4, 5, 80, 75, angle).matrix
        lengths = np.linalg.norm(with_sums(lattice) @ lattice, axis=1)
        found.append(sorted(lengths))
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    acute = Lattice.from_parameters(3, 4, 5, 80, 75, 70).matrix
    assert with_sums(acute).tolist()[3:] == [[1, 1, 0], [1, 0, 1], [0, 1, 1]]


@pytest.mark.parametrize("name", ["cogn", "matformer", "schnet"])
def test_an_encoder_gives_what_its_authors_code_gave(name, rutile):
    golden = json.loads((GOLDEN / f"{name}.json").read_text())
    sizes = replace(NetworkConfig(encoder=name), **golden["sizes"])
    encoder = network("graph", sizes=sizes).graph_encoder.double().eval()
    for key, value in encoder.named_buffers():
        if "running" in key:
            value.fill_(float("var" in key))
    set_weights(encoder)
    rules = replace(graph_config(name, "full"), max_neighbors=golden["max_neighbors"])
    found = crystals(encoder, in_double(batch([rutile], rules)))
    assert found[0] == pytest.approx(golden["output"], abs=1e-5)
    assert len(golden["output"]) == encoder.width == 8


def test_a_cogn_of_before_it_was_as_published_keeps_its_numbers(tmp_path, sample):
    """Its configuration knows no version of the encoder."""
    model = small("cogn")
    earlier = {"width": 16, "layers": 2, "distance_bins": 32, "encoder_version": 1}
    old = CrysMMNet(replace(model.settings, encoder_settings=earlier)).eval()
    old.load_state_dict(
        {**model.state_dict(), "graph_encoder.distances.centers": torch.linspace(0, 8, 32)}
    )
    old.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    assert stored["encoder_settings"].pop("encoder_version") == 1
    (tmp_path / "config.json").write_text(json.dumps(stored))
    loaded = CrysMMNet.from_pretrained(tmp_path)
    assert predict(loaded, sample) == predict(old, sample) != predict(model, sample)


def test_a_size_that_an_encoder_lacks_is_refused():
    with pytest.raises(InputError, match=r"--gcn-layers has no meaning for --encoder schnet"):
        encoder_settings(NetworkConfig(encoder="schnet", gcn_layers=2))


def test_encoders_that_read_no_angles_get_no_line_graph(name, sample):
    from small import example

    from model.network.batch import collate

    examples = [example(record, graph_config(name)) for record in sample[:4]]
    model = small(name)
    lean = collate(examples, model.reads_angles)
    assert model(lean).tolist() == model(collate(examples)).tolist()
    assert (lean.line_graph.src.numel() > 0) == (name == "alignn")


def test_every_encoder_states_its_sizes_and_reference(name):
    kind = encoder_class(name)
    assert kind.reference and "width" in {field.name for field in fields(kind.settings)}


def test_features_are_of_each_atom_and_bond_and_the_readout_is_as_wide_as_it_says(name, sample):
    encoder, found = small(name).graph_encoder, batch(sample[:5], graph_config(name))
    features = encoder(found)
    assert features.atoms.shape == (found.graph.n_nodes, encoder.width)
    assert features.atoms_of.n_groups == 5
    if features.bonds is not None:
        assert features.bonds.shape == (len(found.lengths), encoder.width)
        assert len(features.bonds_of.group) == len(found.lengths)
    assert encoder.readout(features).shape == (5, encoder.readout.width)
    alone = encoder(batch(sample[2:3], graph_config(name))).atoms
    own = features.atoms[features.atoms_of.group == 2]
    assert torch.allclose(own, alone, atol=1e-5)


def test_settings_without_an_explained_size_are_refused():
    @dataclass(frozen=True)
    class Strange:
        spirals: int = 3

    with pytest.raises(TypeError, match="SIZES does not explain spirals"):
        encoder("strange")(Strange)
    assert "strange" not in ENCODERS
