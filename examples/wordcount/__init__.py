"""Count the words of a folder of text files with a real worker: `python -m wordcount [FOLDER]`."""

from wordcount.tasks import app

__all__ = ["app"]
