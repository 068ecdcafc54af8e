"""The code under ansible/plugins is imported here as Ansible imports it on a host."""

import importlib.util
import sys
from pathlib import Path

import ansible.module_utils
import pytest

ROOT = Path(__file__).parents[3] / "ansible"
PLUGINS = ROOT / "plugins"
ansible.module_utils.__path__.append(str(PLUGINS / "module_utils"))


def load(kind: str, name: str):
    """A module or a filter, by its file."""
    spec = importlib.util.spec_from_file_location(f"appliance_ansible_{kind}_{name}", PLUGINS / kind / f"{name}.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="session")
def plugin():
    return load
