"""Runs in a host: prints path -> mode, owner and content of its arguments and of everything below them.

Content is the SHA-256 of a file, or where a link leads; links are not followed. What goes meanwhile is left out.
"""

import grp
import hashlib
import json
import os
import pwd
import stat
import sys
from pathlib import Path


def told(path):
    status = path.lstat()
    if stat.S_ISREG(status.st_mode):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    elif stat.S_ISLNK(status.st_mode):
        content = str(path.readlink())
    else:
        content = ""
    try:
        owner = f"{pwd.getpwuid(status.st_uid).pw_name}:{grp.getgrgid(status.st_gid).gr_name}"
    except KeyError:
        owner = f"{status.st_uid}:{status.st_gid}"
    return f"{stat.filemode(status.st_mode)} {owner} {content}".rstrip()


found = {}
for top in map(Path, sys.argv[1:]):
    found[str(top)] = told(top)
    for folder, folders, files in os.walk(top):
        for path in (Path(folder, name) for name in folders + files):
            try:
                found[str(path)] = told(path)
            except FileNotFoundError:
                continue
print(json.dumps(found))
