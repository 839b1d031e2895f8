"""The errors that a person sees. Everything else is a defect and may show a traceback."""


class SlipwayError(Exception):
    """Something that a person can mend: the message says what, where, what was given, what is allowed, and the mend."""

    exit_code = 1


class ConfigurationError(SlipwayError):
    """The project configuration file is not usable. One message for each problem found."""

    exit_code = 2

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
