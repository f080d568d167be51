"""The exceptions a person may be shown. Their message is the whole sentence: what is wrong and what to do."""


class UserError(Exception):
    """Something a person can mend: a wrong value, a missing file, a model that is not there.

    The UI shows the message as a `gr.Error`; the command line prints it on one line of stderr and exits with 2.
    """


class Stopped(Exception):  # noqa: N818  (not an error: the person asked for it)
    """The person pressed Stop; raised at the first step boundary after that."""
