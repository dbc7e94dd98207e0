"""The subcommands of `depth-anything`, one module each; `tasks.commands.main` joins them."""
