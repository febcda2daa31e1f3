"""The page of a Hugging Face Space: the model in `trained/`, to be tried out."""

from pathlib import Path

from model.pages.app import MAX_FILE, make_page

if __name__ != "__mp_main__":  # as a worker calls its copy of this file, which needs no page
    page = make_page(Path(__file__).parent / "trained", cache=Path("cache"))

if __name__ == "__main__":
    page.launch(max_file_size=MAX_FILE)
