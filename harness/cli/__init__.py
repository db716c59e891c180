"""The command line: its group, and the subcommands that call the core or several uses, a file each
with a click command named `command`; those of one use lie in its folder.
"""
