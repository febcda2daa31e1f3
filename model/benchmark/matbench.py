"""The results file of a task as the package `matbench` 0.6 reads it and its leaderboard takes it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from model.benchmark.answer import Answer

VERSION = "0.6"


def matbench_results(task: str, answer: Answer, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The content of results.json.gz.

    Args:
        task: As `matbench_jdft2d`.
        answer: All predictions; the blend's are recorded.
        settings: Shown as the parameters of each fold.
    """
    results = {}
    for number, fold in enumerate(sorted(answer.folds, key=lambda one: int(one.name))):
        predicted = answer.test("blend", fold)
        ids = [answer.inputs.ids[row] for row in fold.test]
        results[f"fold_{number}"] = {
            "data": dict(zip(ids, predicted.tolist(), strict=True)),
            "parameters": dict(settings),
            "scores": scores(answer.inputs.targets[fold.test], predicted),
        }
    found: dict[str, Any] = {
        "@module": "matbench.bench",
        "@class": "MatbenchBenchmark",
        "version": VERSION,
        "tasks": {
            task: {
                "@module": "matbench.task",
                "@class": "MatbenchTask",
                "benchmark_name": "matbench_v0.1",
                "dataset_name": task,
                "results": results,
            }
        },
        "user_metadata": {"algorithm": "crysmmnet benchmark, blend"},
        "benchmark_name": "matbench_v0.1",
        "datestamp": datetime.now(UTC).strftime("%Y.%m.%d %H:%M.%S"),
    }
    return {**found, "hash": hashlib.sha256(json.dumps(ordered(found)).encode()).hexdigest()}


def scores(targets: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Matbench's scores of a regression, the percentage as scikit-learn has it."""
    errors = np.abs(predictions - targets)
    least = np.finfo(float).eps
    return {
        "mae": float(errors.mean()),
        "rmse": float(np.sqrt((errors**2).mean())),
        "mape": float((errors / np.maximum(np.abs(targets), least)).mean()),
        "max_error": float(errors.max()),
    }


def ordered(value: Any) -> Any:
    """The same with the keys of all dictionaries in order."""
    if isinstance(value, dict):
        return {key: ordered(value[key]) for key in sorted(value)}
    return value
