import pytest

from align_jax.errors import UserError
from align_jax.reporting.output_folder import check_output_folder


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run" / "report").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text("{}")
    (tmp_path / "link").symlink_to(tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("out", ["", "report", "new/deep", "tables/../report", "tables-2", "../link/report"])
def test_a_run_and_what_lies_in_it_are_refused(run, out):
    with pytest.raises(UserError, match="own files of the run") as refused:
        check_output_folder(run / out, "tables")
    assert str(run / "tables") in str(refused.value)


@pytest.mark.parametrize("out", ["tables", "tables/one", "../elsewhere", "..", "../link/tables"])
def test_the_folder_for_it_and_what_lies_elsewhere_are_allowed(run, out):
    check_output_folder(run / out, "tables")
