"""`python -m spotproof` and the `spotproof` console script."""


def main() -> None:
    """Run the command line."""
    from spotproof.cli.app import main

    main()


if __name__ == "__main__":
    main()
