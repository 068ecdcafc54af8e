"""What somebody does to the files of a site behind its back, wherever they lie."""


def below(files, folder):
    """Name of each file of a table's folders -> its digest."""
    return {
        each.path: files.digest(each.path) for part in ("data", "metadata") for each in files.stored(f"{folder}/{part}")
    }


class Hands:
    """On a folder. Another place has its own."""

    def __init__(self, files):
        self._files = files

    def change(self, name, data):
        path = self._files.folder / name
        path.chmod(0o644)
        path.write_bytes(data)

    def lose(self, name):
        (self._files.folder / name).unlink()
