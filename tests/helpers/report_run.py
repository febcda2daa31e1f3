"""A finished run made by hand: the corpus' crystals, a hostile one, and one that failed."""

from dataclasses import replace
from pathlib import Path

from corpus import ORIGIN, TEXTS, records

from curate.dataset.write import write_dataset
from curate.record import Description
from curate.run.folder import Run, table_of

HOSTILE_ID = "<img src=x onerror=alert(1)>"
HOSTILE_TEXT = "</script><script>document.title='taken'</script> <b>bold</b> is a salt."
FAILED_ID = "</td><b>broken</b>"
REASON = "no bonds in <i>this</i> cell of 3.14 Å"
QUESTION = {
    "source": {
        "database": "JVASP & friends <u>",
        "version": "2021",
        "sha256": "",
        "license": "CC BY 4.0",
        "citation": "none",
        "url": "",
    },
    "settings": {"db": "files", "tokenizer": "minilm"},
    "describe": {"describer": "fast", "text_format": "raw", "site_labels": True}
    | {"conventional_cell": True, "oxidation_states": False, "molecule_names": "formula"},
    "versions": {"crysmmnet": "0.1.0", "robocrys": "0.2.13", "python": "3.11"},
}


def write_run(folder: Path) -> Path:
    """48 crystals, the first described a second time under a hostile id, and one failure."""
    known = records()
    entries = [*known, replace(known[0], material_id=HOSTILE_ID)]
    entries.append(replace(known[1], material_id=FAILED_ID))
    described = [
        Description(
            material_id=entry.material_id,
            status="described",
            text=TEXTS.get(entry.material_id, HOSTILE_TEXT),
            condensed_structure='{"formula": "<b>X</b>", "spg_symbol": "C2/m", "length": 2.34567891}',
            origin=ORIGIN,
            seconds=n / 100,
        )
        for n, entry in enumerate(entries[:-1], 1)
    ]
    failed = Description(
        material_id=FAILED_ID,
        status="error",
        seconds=9.5,
        stage="condense",
        error_type="ValueError",
        error_message=REASON,
    )
    run = Run(folder)
    run.check_settings(QUESTION)
    run.write_structures(0, table_of(entries))
    run.write_descriptions(0, [*described, failed])
    names = sorted({name for entry in entries for name in entry.properties})
    summary = {"entries": len(entries), "shards": 1, "read_on": "2026-01-01"}
    run.finish_fetching({**summary, "properties": dict.fromkeys(names, "number")})
    write_dataset(run)
    return folder
