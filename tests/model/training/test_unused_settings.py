"""Settings that change nothing are named, and none that counts is."""

from dataclasses import replace
from pathlib import Path

import pytest
from corpus import TARGET, TINY

from model.config import BenchmarkConfig, GraphConfig, TrainConfig
from model.network.crysmmnet import CrysMMNet, CrysMMNetConfig
from model.training.unused_settings import unused_of_benchmark, unused_settings

TOLERANCE = GraphConfig(shell_tolerance=1e-5)


def settings(fusion="concat", modality_dropout=0.0, encoder="alignn", **given) -> TrainConfig:
    sizes = TINY if encoder == "alignn" else replace(TINY, alignn_layers=None, gcn_layers=None)
    network = replace(sizes, encoder=encoder, fusion=fusion, modality_dropout=modality_dropout)
    return TrainConfig(data="data", out=Path("out"), target=TARGET, network=network, **given)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (
            settings("cross-attention", modality="graph", descriptors=("cell",)),
            "--fusion cross-attention has no effect with --modality graph",
        ),
        (
            settings(modality="graph", text_encoder="minilm", tune_text="full"),
            "--text-encoder minilm, --tune-text full have no effect with --modality graph",
        ),
        (
            settings(text="spacegroup", text_encoder="tfidf"),
            "--text-encoder tfidf has no effect with --text spacegroup",
        ),
        (
            settings(modality="text", modality_dropout=0.5, graph=GraphConfig(max_neighbors=4)),
            "--modality-dropout 0.5 has no effect where the text is all that the model sees",
        ),
        (settings(tune_epochs=2), "--tune-epochs 2 has no effect without --tune-text"),
        (settings(equal_updates=True), "--equal-updates has no effect without --train-fraction"),
        (
            settings(graph=replace(TOLERANCE, exact_shell=True)),
            "--shell-tolerance 1e-05 has no effect with --exact-shell",
        ),
        (
            settings(graph=GraphConfig(self_bond_translations=3)),
            "--self-bond-translations 3 has no effect without --self-bonds",
        ),
        (
            settings(encoder="matformer", max_angles=9),
            "--max-angles 9 has no effect with --encoder matformer, which reads no angles",
        ),
    ],
)
def test_a_setting_without_effect_is_said_with_the_reason(config, said):
    assert said in unused_settings(config)


@pytest.mark.parametrize(
    "config",
    [
        settings(),
        settings("cross-attention", modality_dropout=0.3, max_angles=9),
        settings(modality="text", modality_dropout=0.3, descriptors=("cell",)),
        settings(tune_text="full", tune_epochs=2, train_fraction=0.5, equal_updates=True),
        settings(encoder="matformer", graph=GraphConfig(self_bond_translations=3)),
        settings(graph=TOLERANCE),
    ],
)
def test_nothing_is_said_of_a_setting_that_counts(config):
    assert not [said for said in unused_settings(config) if "width" not in said]


@pytest.mark.parametrize("descriptors", [(), ("cell",)])
@pytest.mark.parametrize("modality", ["graph", "text", "both"])
def test_a_fusion_is_said_to_be_unused_where_the_network_is_that_of_another(modality, descriptors):
    fusion = "cross-attention"
    config = settings(fusion, modality=modality, descriptors=descriptors)
    joined = {
        type(
            CrysMMNet(
                CrysMMNetConfig.from_settings(network, modality, 8, [6] * len(descriptors))
            ).fusion
        )
        for network in (config.network, replace(config.network, fusion="concat"))
    }
    is_said = any(said.startswith(f"--fusion {fusion}") for said in unused_settings(config))
    assert is_said == (len(joined) == 1)


def test_a_benchmark_without_networks_says_which_of_their_settings_it_does_not_read():
    given = {"data": "data", "out": Path("out"), "target": TARGET, "folds": "fold", "seeds": (7,)}
    config = BenchmarkConfig(**given, log_target=True, epochs=5, descriptors=("cell",))
    assert unused_of_benchmark(config) == [
        "--log-target, --epochs 5 have no effect without --networks"
    ]
    assert unused_of_benchmark(replace(config, networks=True)) == []
    assert unused_of_benchmark(BenchmarkConfig(**given)) == []
