"""Fixtures of the tests that prepare images in folders."""

import pytest

from tests.data.image_files import write_domains
from tests.data.small_folders import CLASSES, DOMAINS


@pytest.fixture
def root(tmp_path):
    write_domains(tmp_path / "data" / "Mine", DOMAINS, CLASSES)
    return tmp_path / "data"
