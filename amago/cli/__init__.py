"""The `amago` command. `main` parses; one module a subcommand does the work."""
