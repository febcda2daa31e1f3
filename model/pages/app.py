"""The page of `crysmmnet app`: drop a file, see its prediction. The only file that knows gradio."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curate.errors import InputError
from curate.pages.crystals import GRID, detail
from curate.pages.page import render_cell
from curate.pages.palette import palette
from curate.record import StructureRecord
from model.config import AppConfig
from model.pages.app_session import AppSession
from model.predict.sentence_attribution import SentenceAttribution
from model.search import Match

if TYPE_CHECKING:
    import gradio

MAX_FILE = "1mb"
AT_ONCE = 4  # uploads at work; a process reads and describes each, within limits of time and memory
MOST_WAITING = 100
LONGEST_QUESTION = 2_000  # characters
WITHOUT = {
    "both": "the same model and the same graph, with an empty description in place of the text. "
    "It never learned from crystals without text: the difference says how far the text moves this "
    "model, not how good a model of the graph alone would be",
    "text": "the same model with an empty description: what it says of a crystal it knows nothing of",
}


def effects_html(attribution: SentenceAttribution, unit: str) -> str:
    """Sentences in the colour of their effect, with its size."""
    largest = max(map(abs, attribution.effects), default=0) or 1
    said = []
    for sentence, effect in zip(attribution.sentences, attribution.effects, strict=True):
        color = "234,88,12" if effect > 0 else "8,145,178"
        tint = f"background:rgba({color},{abs(effect) / largest / 2:.2f});color:inherit"
        said.append(f'<mark style="{tint}">{escape(sentence)}</mark><sup> {effect:+.2g}</sup> ')
    note = (
        f"Numbers: prediction with the sentence less prediction without it{unit and f', {unit}'}."
    )
    return f"<p style='line-height:1.9'>{''.join(said)}</p><p><small>{escape(note)}</small></p>"


def cell_of(record: StructureRecord) -> str:
    """A frame with the structure, as HTML."""
    row = {
        "lattice_vectors": record.lattice_vectors,
        "cartesian_site_positions": record.cartesian_site_positions,
        "species_at_sites": record.species_at_sites,
    }
    page = render_cell(detail(row, []), palette(record.species_at_sites), GRID)
    return (
        f'<iframe sandbox="allow-scripts" title="Structure" srcdoc="{escape(page)}" '
        'style="width:100%;height:26rem;border:0"></iframe>'
    )


def prediction_html(session: AppSession, prediction: tuple[float, float | None]) -> str:
    """The numbers, and what they are."""
    known, unit = session.preprocessing, f" {session.unit}"
    whole, without = prediction
    said = [f"<p><b style='font-size:1.6rem'>{whole:.4g}</b>{escape(unit)}<br>"]
    if without is None:
        said.append("from the structure</p>")
    else:
        seen = "structure and description" if known.modality == "both" else "description"
        said.append(f"from {seen}</p>")
        said.append(
            f"<p><b style='font-size:1.6rem'>{without:.4g}</b>{escape(unit)}<br>without text: "
        )
        said.append(f"{WITHOUT[known.modality]}.</p>")
    return "".join(said)


def make_page(
    place: str | Path, data: str | None = None, cache: Path | None = None
) -> gradio.Blocks:
    """The page; launch it. Raises InputError where gradio is missing or the model can't be used."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    try:
        import gradio
    except ModuleNotFoundError:
        raise InputError("the app needs gradio: pip install 'crysmmnet[app]'") from None
    session = AppSession(place, data, cache)
    target = session.preprocessing.target
    with gradio.Blocks(title=f"CrysMMNet: {target}") as page:
        gradio.Markdown("# Crystal to property, through structure and text")
        gradio.HTML(
            f"<p>This model predicts <b>{escape(target)}</b>. "
            "Drop a structure file: CIF, POSCAR, extended XYZ or JSON.</p>"
        )
        with gradio.Row():
            with gradio.Column():
                upload = gradio.File(label="Structure file", elem_id="upload")
                status = gradio.HTML(elem_id="status")
                cell = gradio.HTML(elem_id="cell")
            with gradio.Column():
                number = gradio.HTML(label="Prediction", elem_id="prediction")
                text = gradio.HTML(elem_id="description")
        neighbors = gradio.Dataframe(
            headers=["id", "formula", target, "similarity"],
            label="Training crystals that the model sees as most like it",
            interactive=False,
            elem_id="neighbors",
            visible=session.known is not None,
        )
        if session.known is None:
            gradio.Markdown("Similar training crystals are not shown: no dataset was given.")
        if session.texts is not None:
            add_search(session)
        shown = {
            "status": status,
            "structure": cell,
            "text": text,
            "prediction": number,
            "neighbors": neighbors,
        }

        def answer(path: str | None) -> Iterator[dict]:
            yield dict.fromkeys(shown.values())
            for step in session.answer(path):
                if "attribution" in step:
                    step["text"] = step.pop("attribution")
                yield {shown[name]: formed(session, name, value) for name, value in step.items()}

        upload.change(answer, upload, list(shown.values()), concurrency_limit=AT_ONCE)
    return page.queue(max_size=MOST_WAITING)


def add_search(session: AppSession) -> None:
    """A box for a question, and the crystals whose texts fit it."""
    import gradio

    question = gradio.Textbox(
        label="Search the crystals by words, then Enter",
        placeholder="layered telluride with octahedral metal sites",
        max_length=LONGEST_QUESTION,
        elem_id="question",
    )
    said = gradio.HTML(elem_id="said")
    found = gradio.HTML(elem_id="found")

    def answer(text: str) -> tuple[str, str]:
        matches, reading = session.search(text)
        return f"<p>{escape(reading)}</p>" if reading else "", found_html(matches)

    question.submit(answer, question, [said, found], concurrency_limit=AT_ONCE)


def found_html(matches: Sequence[Match]) -> str:
    """A table of crystals that were found, with what their texts say."""
    if not matches:
        return ""
    names = list(dict.fromkeys(name for match in matches for name in match.properties))[:4]
    heads = ["id", "formula", "space group", *names, "its text says"]
    rows = [
        [match.id, match.formula, match.spacegroup]
        + [f"{match.properties[name]:.4g}" if name in match.properties else "" for name in names]
        + [" ".join(match.sentences)]
        for match in matches
    ]
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>'


def formed(session: AppSession, name: str, value: Any) -> Any:
    """A value as its component takes it."""
    match name:
        case "status":
            return f"<p>{escape(value)}</p>"
        case "structure":
            return cell_of(value)
        case "text" if isinstance(value, SentenceAttribution):
            return effects_html(value, session.unit)
        case "text":
            return f"<p>{escape(value)}</p>"
        case "prediction":
            return prediction_html(session, value)
    return [[n.id, n.formula, round(n.target, 4), round(n.similarity, 4)] for n in value or ()]


def serve(page: gradio.Blocks, config: AppConfig) -> None:
    """Show the page until it is stopped."""
    page.launch(
        server_name=config.host, server_port=config.port, max_file_size=MAX_FILE, quiet=True
    )
