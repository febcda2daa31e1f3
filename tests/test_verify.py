"""A run's texts beside stock's: equal ones pass, changed ones are named."""

from dataclasses import replace

from curate.describe import describe
from curate.verify import compare, verify


def test_a_true_text_passes_and_a_changed_one_is_shown(silicon):
    text = describe(silicon).text
    assert text is not None
    assert compare(silicon, text) is None
    difference = compare(silicon, text.replace("cubic", "tetragonal"))
    assert difference is not None
    assert difference.stock_text == text
    assert "silicon" in str(difference) and "tetragonal" in str(difference)


def test_a_crystal_that_stock_can_not_describe_either_agrees(silicon):
    empty = replace(silicon, lattice_vectors=((0.0, 0.0, 0.0),) * 3, material_id="flat")
    assert compare(empty, None) is None
    difference = compare(empty, "a text")
    assert difference is not None and "stock fails" in str(difference)


def test_the_sample_is_drawn_by_the_seed_and_counts_differences(silicon):
    """Four copies, of which one is lying; texts that came with the source are not verified."""
    text = describe(silicon).text
    records = [replace(silicon, material_id=f"copy-{i}") for i in range(4)]
    own = replace(silicon, material_id="own", description="From the source.")
    texts = [text, text, "Something else.", text]
    first = verify([*records, own], [*texts, "From the source."], n=2, seed=1)
    again = verify([*records, own], [*texts, "From the source."], n=2, seed=1)
    assert first == again and len(first.checked) == 2 and "own" not in first.checked
    everything = verify([*records, own], [*texts, "From the source."], n=50, seed=0)
    assert sorted(everything.checked) == ["copy-0", "copy-1", "copy-2", "copy-3"]
    assert [d.material_id for d in everything.differences] == ["copy-2"]
    assert not everything.is_equal
