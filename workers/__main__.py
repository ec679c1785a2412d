"""`python -m workers` is `baton`."""

from workers.command_line import main

main()
