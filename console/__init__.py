"""The terminal program: a client of the stack and of the scheduler, and nothing more. Closing it stops nothing."""
