"""Run on a host: logs in to a database by its password in OpenBao. Arguments: role, mode of TLS, authority."""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, "/opt/appliance/certificates")
from openbao_api import OpenBao  # type: ignore[import-not-found]

role, mode, authority = sys.argv[1:]
trusted = [Path("/etc/appliance/authority/authority.pem")]
deploy = OpenBao("https://127.0.0.1:8200", trusted).login(Path("/etc/appliance/openbao/deploy"))
password = deploy.get(f"site/data/catalog/{role}")["data"]["data"]["value"]
words = [
    "psql",
    "--no-psqlrc",
    "-At",
    "-c",
    "SELECT current_user || ' ' || (SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid())",
]
words += [f"host=localhost user={role} dbname={role} sslmode={mode} sslrootcert={authority}"]
sys.exit(subprocess.run(words, env={**os.environ, "PGPASSWORD": password}).returncode)
