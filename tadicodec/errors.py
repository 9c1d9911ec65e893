"""The one exception that means "the user can fix this": its message is a single line saying how."""


class InputError(ValueError):
    """A mistake in what was given (file, option, model folder). The command line prints it and exits with 2."""


class InputWarning(UserWarning):
    """What was given is used, but not all of it could be. The command line prints it in one line."""
