"""Two small projections that bring the vector of a crystal's graph next to the vector of its text.

They are trained on pairs of frozen vectors with CLIP's loss: Radford et al., ICML 2021 (arXiv:2103.00020).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from curate.errors import InputError, first_line
from curate.files import whole_file

WIDTH, HIDDEN, DROPOUT = 128, 256, 0.2
EPOCHS, PAIRS_AT_ONCE, LEARNING_RATE, WEIGHT_DECAY = 100, 256, 1e-3, 1e-2
SHARPEST = math.log(100)  # bound of the learned inverse temperature, as in the paper
FIRST = math.log(1 / 0.07)


class Projection(nn.Module):
    """From frozen vectors to unit vectors of the common space.

    Args:
        width: Size of the frozen vectors.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(width))
        self.register_buffer("scale", torch.ones(()))
        self.layers = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.GELU(), nn.Dropout(DROPOUT), nn.Linear(HIDDEN, WIDTH)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, width) to (n, WIDTH), each of length 1."""
        return F.normalize(self.layers((x - self.center) / self.scale), dim=1)


class ContrastiveHead(nn.Module):
    """The projections of both sides, and the inverse temperature of their loss."""

    def __init__(self, text_width: int, graph_width: int) -> None:
        super().__init__()
        self.text, self.graph = Projection(text_width), Projection(graph_width)
        self.log_sharpness = nn.Parameter(torch.tensor(FIRST))

    @classmethod
    def fit(cls, texts: np.ndarray, graphs: np.ndarray, seed: int = 0) -> ContrastiveHead:
        """Learn from pairs.

        Args:
            texts: (n_views, n, text_width) vectors of texts: of each crystal one is drawn each time.
            graphs: (n, graph_width) vectors of the graphs of the same crystals.
            seed: Of the first weights and of what is drawn.

        Returns:
            The head, in eval mode.
        """
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            head = cls(texts.shape[2], graphs.shape[1])
            seen, crystals = torch.from_numpy(texts).float(), torch.from_numpy(graphs).float()
            for side, values in ((head.text, seen.flatten(0, 1)), (head.graph, crystals)):
                side.center.copy_(values.mean(0))
                side.scale.copy_((values - values.mean(0)).square().mean().sqrt().clamp(min=1e-9))
            n_steps = EPOCHS * -(-len(crystals) // PAIRS_AT_ONCE)
            optimizer = torch.optim.AdamW(
                head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY
            )
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, n_steps)
            head.train()
            for _ in range(EPOCHS):
                for some in torch.randperm(len(crystals)).split(PAIRS_AT_ONCE):
                    views = torch.randint(len(seen), some.shape)
                    optimizer.zero_grad()
                    head.loss(seen[views, some], crystals[some]).backward()
                    optimizer.step()
                    schedule.step()
        return head.eval()

    def loss(self, texts: Tensor, graphs: Tensor) -> Tensor:
        """Mean of two cross entropies: which graph belongs to a text, and which text to a graph."""
        sharpness = self.log_sharpness.clamp(max=SHARPEST).exp()
        likeness = sharpness * self.text(texts) @ self.graph(graphs).T
        pairs = torch.arange(len(likeness))
        return (F.cross_entropy(likeness, pairs) + F.cross_entropy(likeness.T, pairs)) / 2

    def of_texts(self, vectors: np.ndarray) -> np.ndarray:
        """(n, WIDTH) float32 unit vectors of texts."""
        with torch.inference_mode():
            return self.text(torch.from_numpy(np.array(vectors, np.float32))).numpy()

    def of_graphs(self, vectors: np.ndarray) -> np.ndarray:
        """(n, WIDTH) float32 unit vectors of graphs."""
        with torch.inference_mode():
            return self.graph(torch.from_numpy(np.array(vectors, np.float32))).numpy()

    def save(self, path: Path, about: dict[str, Any]) -> None:
        """Write weights, with what they belong to, whole or not at all."""
        weights = {name: value.contiguous() for name, value in self.state_dict().items()}
        with whole_file(path) as partial:
            save_file(weights, partial, metadata={"about": json.dumps(about, sort_keys=True)})

    @classmethod
    def load(cls, path: Path) -> tuple[ContrastiveHead, dict[str, Any]]:
        """What `save` wrote; InputError where the file holds another thing."""
        try:
            with safe_open(path, "pt") as file:
                about = json.loads(file.metadata()["about"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            widths = (len(weights["text.center"]), len(weights["graph.center"]))
            with torch.random.fork_rng(devices=[]):
                head = cls(*widths)
            head.load_state_dict(weights)
        except (SafetensorError, OSError, TypeError, KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                f"{path} is not the head of a search ({first_line(error)}); delete it, and it is trained "
                "again"
            ) from error
        return head.eval(), about
