"""The subcommands of `depth-anything`, one module each; `tasks.command_line` joins them."""
