"""Fault finding: real crystals written in many ways come back as themselves or are refused."""

from cif_dialects import dialects, survey, verdict

from curate.sources.sample import Sample


def test_no_dialect_gives_another_crystal_in_silence():
    records = list(Sample().records())[::16]
    counts = survey(record.to_pymatgen() for record in records)
    assert {verdict for _, verdict in counts} <= {"same", "refused"}
    names = {name for name, _ in counts}
    assert len(names) == 19
    for name in names - {"name only, nothing else said"}:  # there two origins may be left open
        assert counts[name, "same"] == len(records), name
    assert counts["name only, nothing else said", "same"] > 0.8 * len(records)


def test_two_origins_that_nothing_settles_are_refused(silicon):
    text = dict(dialects(silicon.to_pymatgen()))["name only, nothing else said"]
    assert "Fd-3m" in text
    assert "stands for Fd-3m :1 or Fd-3m :2" in verdict(text, silicon.to_pymatgen())
