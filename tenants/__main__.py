"""`python -m tenants`: the same as `tenants`."""

from tenants.cli import main

if __name__ == "__main__":
    main(prog_name="tenants")
