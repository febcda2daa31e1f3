"""`python -m model` is `crysmmnet`, as `torchrun -m model` needs it."""

from model.cli import main

if __name__ == "__main__":
    main()
