"""`python -m tenants`: the same as `tenants`, also where no script is installed."""

from tenants.cli import main

if __name__ == "__main__":
    main(prog_name="tenants")
