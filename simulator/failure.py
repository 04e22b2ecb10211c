"""What a run that cannot end raises."""


class RunFailed(RuntimeError):  # noqa: N818 -- reads as the fact it states
    """A run that began and could not end; the message says why and how to see it again. Exit code 1."""


class Interrupted(KeyboardInterrupt):
    """The user stopped a run; the message says where the rounds so far are. Exit code 130."""
