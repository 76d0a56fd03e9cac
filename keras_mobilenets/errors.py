"""The one kind of error that is the user's to mend."""


class UserError(ValueError):
    """Something the user gave cannot work; the message is one line that says what to do.

    The command line prints it without a traceback and exits with code 2.
    """
