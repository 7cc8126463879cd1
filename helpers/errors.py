"""The exceptions of the course. Each message says what happened, why, and what to do."""


class CourseError(Exception):
    """Base class: catch this one to catch every expected failure."""


class InputError(CourseError, ValueError):
    """An argument cannot be used: an unknown name, a wrong shape, a damaged file."""


class CheckpointError(CourseError):
    """A model folder is incomplete, damaged, or of a kind that cannot be converted."""


class ConversionError(CourseError):
    """llama.cpp's converter or quantizer stopped."""


class ResourceError(CourseError):
    """This machine has too little memory or disk for the next step."""


class HubError(CourseError):
    """The Hub refused, failed, or cannot be reached."""


class InstallError(CourseError):
    """A package or tool could not be installed."""


class ServerError(CourseError):
    """A server of our own on this machine did not start."""
