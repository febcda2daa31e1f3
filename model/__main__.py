"""`python -m model` is `crysmmnet`, as `accelerate launch -m model` needs it."""

from model.cli import main

if __name__ == "__main__":
    main()
