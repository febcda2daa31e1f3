"""The `crysmmnet` commands."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import tyro

from curate.errors import InputError, named
from curate.errors import shown as printable
from curate.work.command import run_command
from model.config import (
    AppConfig,
    BenchmarkConfig,
    EncodersConfig,
    EvaluateConfig,
    ExperimentConfig,
    LeaderboardConfig,
    PredictConfig,
    PrepareConfig,
    PushModelConfig,
    ReportModelConfig,
    SearchConfig,
    TrainConfig,
)
from model.presets import with_preset
from model.recipes import RecipeConfig

log = logging.getLogger(__name__)

Command = (
    Annotated[PrepareConfig, tyro.conf.subcommand("prepare")]
    | Annotated[TrainConfig, tyro.conf.subcommand("train")]
    | Annotated[EvaluateConfig, tyro.conf.subcommand("evaluate")]
    | Annotated[PredictConfig, tyro.conf.subcommand("predict")]
    | Annotated[SearchConfig, tyro.conf.subcommand("search")]
    | Annotated[ReportModelConfig, tyro.conf.subcommand("report")]
    | Annotated[AppConfig, tyro.conf.subcommand("app")]
    | Annotated[PushModelConfig, tyro.conf.subcommand("push")]
    | Annotated[EncodersConfig, tyro.conf.subcommand("encoders")]
    | Annotated[ExperimentConfig, tyro.conf.subcommand("experiment")]
    | Annotated[BenchmarkConfig, tyro.conf.subcommand("benchmark")]
    | Annotated[LeaderboardConfig, tyro.conf.subcommand("leaderboard")]
    | Annotated[RecipeConfig, tyro.conf.subcommand("recipe")]
)


def main() -> None:
    """Entry point of `crysmmnet`."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("model").setLevel(logging.INFO)
    run_command("crysmmnet", parse_and_run)


def parse_and_run() -> int:
    """Parse the command line and run its command."""
    config = parse(with_preset(sys.argv[1:]))
    try:
        return run(config)
    except ModuleNotFoundError as error:
        if str(error.name).split(".")[0] in ("curate", "model"):
            raise
        raise InputError(
            f"this needs the package {error.name}, which is not installed: install all that crysmmnet "
            "requires; only a training on a folder of `crysmmnet prepare` does with less"
        ) from error


def parse(words: Sequence[str]) -> Command:
    """The command that the words ask for.

    Of a training on a prepared folder, what is left out is as the folder was prepared.
    """
    if words and words[0] == "train" and (defaults := prepared_defaults(words)):
        return tyro.cli(TrainConfig, args=words[1:], prog="crysmmnet train", default=defaults)
    return tyro.cli(  # type: ignore[call-overload]
        Command, args=words, prog="crysmmnet", description="From a curated dataset to predictions."
    )


def prepared_defaults(words: Sequence[str]) -> TrainConfig | None:
    """The settings of a training on the prepared folder that --data names; None where it names none."""
    given = [word.removeprefix("--data=") for word in words if word.startswith("--data=")]
    given += [value for word, value in pairwise(words) if word == "--data"]
    if not given or not (Path(given[-1]) / "prepared.json").is_file():
        return None
    from model.data.prepared_folder import PreparedFolder

    folder = PreparedFolder.find(given[-1])
    return None if folder is None else folder.config(tyro.MISSING)


def run(config: Command) -> int:
    """Only what a command needs is imported."""
    _quiet_libraries()
    match config:
        case PrepareConfig():
            return run_prepare(config)
        case TrainConfig():
            return run_train(config)
        case EvaluateConfig():
            return run_evaluate(config)
        case PredictConfig():
            return run_predict(config)
        case SearchConfig():
            return run_search(config)
        case ReportModelConfig():
            return run_report(config)
        case AppConfig():
            return run_app(config)
        case PushModelConfig():
            return run_push(config)
        case EncodersConfig():
            return run_encoders(config)
        case ExperimentConfig():
            return run_experiment(config)
        case BenchmarkConfig():
            return run_benchmark(config)
        case LeaderboardConfig():
            return run_leaderboard(config)
        case RecipeConfig():
            return run_recipe(config)


def run_prepare(config: PrepareConfig) -> int:
    """Write the folder, and print how many crystals it holds and what it weighs."""
    from model.training.dataset_source import write_prepared

    say_unused(config.training())
    prepared = write_prepared(config)
    print_dropped(prepared.dropped)
    parts = ", ".join(f"{len(examples):,} {part}" for part, examples in prepared.parts.items())
    size = sum(path.stat().st_size for path in config.out.iterdir()) / 2**20
    print(f"{config.out}: {parts}; {size:.1f} MiB")
    return 0


def run_train(config: TrainConfig) -> int:
    """Train and print the scores, how wide the margins are, and what test and training crystals share."""
    from model.data.overlap import overlap_line
    from model.model_folder import ModelFolder
    from model.training.calibration import held_margins, margin_line
    from model.training.metrics import line
    from model.training.train import train

    speaks = os.environ.get("RANK", "0") == "0"  # one of several processes does
    if speaks:
        say_unused(config)
    result = train(config)
    if not speaks:
        return 0
    for part in ("train", "val", "test"):
        print(line(part, result[part], result["unit"]))
    print(margin_line(held_margins(ModelFolder(config.out)), result["unit"]))
    print(overlap_line(result))
    print_dropped(result["dropped_ids"])
    print(f"{config.target}: epoch {result['chosen_epoch']} of {result['epochs']} in {config.out}")
    return 0


def print_dropped(ids: Mapping[str, Sequence[str]]) -> None:
    """One line for each reason why crystals were left out, with the ids of the first of them."""
    for reason, names in ids.items():
        print(printable(f"dropped: {len(names)} {reason} ({named(set(names), 3)})"))


def say_unused(config: TrainConfig) -> None:
    """One line for each reason why chosen settings change nothing."""
    from model.training.unused_settings import unused_settings

    for sentence in unused_settings(config):
        log.warning("%s", sentence)


def run_evaluate(config: EvaluateConfig) -> int:
    """Print the scores."""
    from model.predict.evaluate import UNSEEN, evaluate
    from model.training.metrics import line

    result = evaluate(config)
    for part in ("train", "val", "test", UNSEEN):
        if part in result:
            print(line(part, result[part], result["unit"]))
    print_dropped(result["dropped_ids"])
    return 0


def run_predict(config: PredictConfig) -> int:
    """Print id, prediction, unit and margin; 1 where no crystal could be predicted."""
    from model.predict.predictor import predict

    n_predicted = 0
    for prediction in predict(config):
        name = prediction.id + (f"\t{prediction.target}" if prediction.target else "")
        if prediction.value is None:
            print(printable(f"{name}\tfailed: {prediction.error}"), flush=True)
        else:
            n_predicted += 1
            line = f"{name}\t{prediction.value:.4f}\t{prediction.unit}"
            if prediction.margin is not None and prediction.level is not None:
                line += f"\t± {prediction.margin:.4f} ({100 * prediction.level:g} %)"
            line += "\twithout text" if prediction.without_text else ""
            line += f"\t{prediction.unlike}" if prediction.unlike else ""
            print(printable(line), flush=True)
    return 0 if n_predicted else 1


def run_search(config: SearchConfig) -> int:
    """Print the crystals that fit, best first; 1 where none does."""
    from model.search.answer import print_matches, search

    found = search(config)
    print_matches(found)
    return 0 if found else 1


def run_report(config: ReportModelConfig) -> int:
    """Write the page and say how large it is."""
    from model.pages.report import report

    shown = report(config)
    size = config.out.stat().st_size / 1e6
    print(f"{config.out}: {shown.n_rows:,} crystals, {size:.1f} MB; open it in a browser")
    return 0


def run_app(config: AppConfig) -> int:
    """Serve the page until Ctrl-C."""
    from model.pages.app import make_page, serve

    page = make_page(config.model, config.data, config.cache)
    print(f"http://{config.host}:{config.port} (Ctrl-C stops it)", flush=True)
    serve(page, config)
    return 0


def run_push(config: PushModelConfig) -> int:
    """Publish a model, or print what would be published."""
    from curate.hub.mirror import mirror
    from model.publish.push import plan_push

    if config.space:
        return run_push_space(config)
    if config.data is not None:
        raise InputError("--data is for --space: a model is pushed without its crystals")
    plan = plan_push(
        config.model,
        config.name,
        private=config.private,
        tag=config.tag,
        license=config.license,
    )
    print(plan if config.dry_run else mirror(plan))
    return 0


def run_push_space(config: PushModelConfig) -> int:
    """Publish a page to try the model, or print what would be published."""
    import warnings

    from curate.hub.mirror import mirror
    from model.publish.space import plan_space

    warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")

    plan = plan_space(config)
    print(plan if config.dry_run else mirror(plan))
    return 0


def run_encoders(config: EncodersConfig) -> int:
    """Print what each graph network is and costs."""
    from model.experiments.encoder_table import encoder_rows

    for row in encoder_rows(config.n):
        print(
            f"{row.name:<10}{row.parameters:>10,} parameters, {row.milliseconds:.1f} ms a crystal"
        )
        print(f"          {row.sizes}; reads {row.reads}\n          {row.reference}", flush=True)
    return 0


def run_experiment(config: ExperimentConfig) -> int:
    """Train what an answer needs, and print the answer."""
    from model.experiments.run import run as answer

    logging.getLogger("model.training.train").setLevel(logging.WARNING)
    logging.getLogger("model.training.trainer").setLevel(logging.WARNING)
    folder = answer(config)
    print((folder / "report.md").read_text())
    print(f"in {folder}: report.md, results.csv, differences.json, predictions/, plots")
    return 0


def run_benchmark(config: BenchmarkConfig) -> int:
    """Run every fold, and print the answer."""
    from model.benchmark.benchmark import benchmark
    from model.training.unused_settings import unused_of_benchmark

    logging.getLogger("model.training").setLevel(logging.WARNING)
    for sentence in unused_of_benchmark(config):
        log.warning("%s", sentence)
    folder = benchmark(config)
    print((folder / "report.md").read_text(encoding="utf-8"))
    return 0


def run_leaderboard(config: LeaderboardConfig) -> int:
    """Write a checked contribution."""
    from model.publish.leaderboard import contribute

    path = contribute(config)
    print(f"{path} and metadata.json beside it; checked against the test ids of {config.task}")
    return 0


def run_recipe(config: RecipeConfig) -> int:
    """Print the commands of a recipe, or the names of all."""
    from model.recipes import recipe_commands, recipes

    print("\n".join(recipes() if config.name is None else recipe_commands(config.name)))
    return 0


def _quiet_libraries() -> None:
    """Progress is this program's to show."""
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


if __name__ == "__main__":
    main()
