"""Groups from folders or a CSV: read when the data set is loaded, and refused in one sentence if they do not fit."""

import contextlib
import random
import re

import pytest

from align_jax.configuration import check, default_config
from align_jax.data import given_groups
from align_jax.data.datasets.domain_folders import prepare
from align_jax.data.domains import column, describe_data
from align_jax.data.given_groups import with_groups
from align_jax.data.groups import class_groups
from align_jax.data.load import load
from align_jax.errors import UserError
from align_jax.runs.folder import check_or_write_data
from tests.data.image_files import write_image

IDS = {"a": ["a/land bird/1.jpg", "a/water bird/2.jpg"], "b": ["b/land bird/3.jpg"]}
SOURCES = {domain: [{"id": identifier, "label": 0} for identifier in ids] for domain, ids in IDS.items()}
ROWS = ["a/land bird/1.jpg,water", "a/water bird/2.jpg,land", "b/land bird/3.jpg,water"]
TABLE = "\n".join(["path,group", *ROWS])


def groups_of(content, tmp_path, **options):
    (tmp_path / "groups.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    sources, _ = with_groups("groups.csv", SOURCES, [tmp_path / "elsewhere", tmp_path], **options)
    return [group for source in sources.values() for group in column(source, "group")]


def refusal(*arguments, **options):
    with pytest.raises(UserError) as caught:
        groups_of(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        "\ufeff" + TABLE.replace("\n", "\r\n"),  # as spreadsheets write it
        "\n".join(["group,y,path", *(f'{row.partition(",")[2]},0,"./{row.partition(",")[0]}"' for row in ROWS), ""]),
        TABLE.replace("path,group", "img_filename,place"),  # as Waterbirds' metadata.csv has it
        "\n".join([TABLE, "", ROWS[1]]),
    ],
)
def test_a_csv_says_the_group_of_each_image(content, tmp_path):
    assert groups_of(content, tmp_path) == ["water", "land", "water"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("file,group\n", ("has the columns file, group;", "must have path and group")),
        (TABLE.replace(",", ";"), ("has the columns path;group;", "divided by commas")),
        ("", ("has the columns none;",)),
        ("path,group\n", ("no row for 3 of 3 images, such as a/land bird/1.jpg (it has no rows)",)),
        (
            "\n".join(["path,group", *ROWS[1:]]),
            ("no row for 1 of 3 images, such as a/land bird/1.jpg (its first path",),
        ),
        (TABLE.replace("a/land", "land"), ("(its first path is 'land bird/1.jpg')", "paths as DOMAIN/CLASS/IMAGE")),
        (f"{TABLE}\nc/x.jpg,land\nc/y.jpg,land", ("has 2 rows for which there is no image, such as c/x.jpg;",)),
        (f"{TABLE}\n{ROWS[1]}er", ("two groups or objects for 1 of the images: a/water bird/2.jpg (land, lander);",)),
        (f"{TABLE}\na/x.jpg", ("groups.csv, line 5, has 1 fields, and the header 2; complete it.",)),
        (TABLE.replace("water\n", "\n"), ("names a group ''; rename it",)),
        (TABLE.replace(",land", ",la\u202end"), (r"names a group 'la\u202end'; rename it",)),
        (TABLE.replace(",land", "," + "x" * 101), ("rename it: 1 to 100 printable letters",)),
        (
            "\n".join(["path,group,object", *(f"{row},{'x' * 101}" for row in ROWS)]),
            ("names an object 'xxx", "rename it"),
        ),
        (
            "\n".join(["path,group,object", *(f"{row},gull" for row in ROWS), f"{ROWS[1]},duck"]),
            ("two groups or objects for 1 of the images: a/water bird/2.jpg (gull, duck);",),
        ),
        (f'{TABLE}\n"' + "x" * 200_000, ("cannot be read (field larger than field limit",)),
        (b"version https://git-lfs.github.com/spec/v1\n", ("cannot be read (a Git LFS pointer",)),
    ],
)
def test_what_does_not_fit_is_named(content, parts, tmp_path):
    text = refusal(content, tmp_path)
    for part in parts:
        assert part in text


def test_a_csv_may_name_objects(tmp_path):
    (tmp_path / "groups.csv").write_text(
        "\n".join(["object,path,group", f",{ROWS[0]}", f"duck,{ROWS[1]}", f"gull,{ROWS[2]}"])
    )
    sources, hashed = with_groups("groups.csv", SOURCES, [tmp_path])
    assert column(sources["a"], "object") == ["", "duck"]
    assert sources["b"][0] == {"id": IDS["b"][0], "label": 0, "group": "water", "object": "gull", "concept": "gull"}
    # Errors are clustered by object; an image of none stands for itself.
    assert column(sources["a"], "concept") == [IDS["a"][0], "duck"]
    (tmp_path / "groups.csv").write_text(TABLE)
    plain, hashed_without = with_groups("groups.csv", SOURCES, [tmp_path])
    assert set(plain["a"][0]) == {"id", "label", "group"}
    assert hashed != hashed_without


def test_too_many_groups_are_no_environments(tmp_path, monkeypatch):
    monkeypatch.setattr(given_groups, "MOST_GROUPS", 1)
    assert "gives 2 groups; it must give at most 1" in refusal(TABLE, tmp_path)


def test_a_csv_may_name_images_that_were_left_out(tmp_path):
    content = f"{TABLE}\nb/land bird/4.jpg,land"
    assert groups_of(content, tmp_path, left_out=["b/land bird/4.jpg"]) == ["water", "land", "water"]
    assert "1 rows for which there is no image" in refusal(content, tmp_path)


def test_a_csv_that_is_not_there_is_answered_with_where_it_was_looked_for(tmp_path):
    with pytest.raises(UserError, match=rf"is 'g\.csv', but .*{tmp_path}/x/g\.csv, {tmp_path}/g\.csv\); give 'folder'"):
        with_groups("g.csv", SOURCES, [tmp_path / "x", tmp_path])


def test_any_bytes_are_read_or_refused(tmp_path):
    source = random.Random(0)
    for _ in range(100):
        content = bytearray(TABLE.encode())
        for _ in range(source.randrange(1, 6)):
            place = source.randrange(len(content))
            content[place : place + source.randrange(3)] = source.randbytes(source.randrange(3))
        with contextlib.suppress(UserError):
            assert len(groups_of(bytes(content), tmp_path)) == 3


# ---- with a data set of images in folders ----------------------------------------------------------------------------


@pytest.fixture
def config(tmp_path):
    """Birds of two regions, each class on land and on water: DOMAIN/CLASS/GROUP/IMAGE."""
    for number in range(32):
        domain, name, group = (
            ("north", "south")[number % 2],
            ("land bird", "water bird")[number // 2 % 2],
            number // 4,
        )
        write_image(
            tmp_path / "data" / "birds" / domain / name / ("land", "water")[group % 2] / f"{number}.png", number
        )
    config = default_config()
    config.data.name, config.data.root, config.data.folder = "domain_folders", str(tmp_path / "data"), "birds"
    config.data.prepared, config.data.domain, config.data.group = str(tmp_path / "prepared"), "south", "folder"
    return config


def test_folders_below_the_classes_are_groups(config, capsys):
    check(config)
    data = load(config.data)
    assert data.class_names == ("land bird", "water bird")
    assert "Groups: land (16), water (16)." in capsys.readouterr().err
    (test,) = [part.source for part in data.evaluation if part.role == "ood"]
    for source in (data.train["north"], test):
        ids, groups = column(source, "id"), column(source, "group")
        assert [identifier.split("/")[2] for identifier in ids] == groups
        assert source[0]["group"] == groups[0]
        assert source[0]["image"].shape == (12, 16, 3)
    assert class_groups(data) == {(0, "land"): 0, (0, "water"): 1, (1, "land"): 2, (1, "water"): 3}


def test_a_csv_beside_the_images_is_read_anew_and_a_run_notices_that_it_has_changed(config, tmp_path):
    first = load(config.data)
    ids = [identifier for part in first.evaluation for identifier in column(part.source, "id")]
    ids += column(first.train["north"], "id")
    path, run = tmp_path / "data" / "birds" / "groups.csv", tmp_path / "run"
    config.data.group = "groups.csv"

    def written(groups):
        path.write_text("path,group\n" + "".join(f"{i},{g}\n" for i, g in zip(ids, groups, strict=True)))
        return load(config.data)

    folders = [identifier.split("/")[2] for identifier in ids]
    data = written(folders)
    assert data.groups == first.groups
    run.mkdir()
    check_or_write_data(describe_data(config, data), run)
    check_or_write_data(describe_data(config, written(folders)), run)
    changed = written(["water", *folders[1:]] if folders[0] == "land" else ["land", *folders[1:]])
    with pytest.raises(UserError, match=r"began with other data \(groups changed since"):
        check_or_write_data(describe_data(config, changed), run)
    config.data.group = str(path)  # an absolute path
    assert load(config.data).groups == changed.groups


def test_with_objects_there_are_tests_by_background_and_a_split_keeps_objects_together(config, tmp_path):
    sources = load(config.data)
    ids = [i for part in (*sources.train.values(), *(e.source for e in sources.evaluation)) for i in column(part, "id")]
    # 32 images: 8 of each domain and class, of objects with two images each; north is nearly always as expected.
    rows = []
    for domain_and_class in sorted({i.rsplit("/", 2)[0] for i in ids}):
        members = sorted(i for i in ids if i.startswith(f"{domain_and_class}/"))
        expected = "land" if "land bird" in domain_and_class else "water"
        for number, identifier in enumerate(members):
            group = expected if "north" in domain_and_class or number % 2 else ("water", "land")[expected == "water"]
            rows.append(f"{identifier},{group},{domain_and_class.split('/')[1]} {number // 2}")
    (tmp_path / "data" / "birds" / "groups.csv").write_text("\n".join(["path,group,object", *rows]))
    config.data.group = "groups.csv"
    data = load(config.data)
    tests = {part.split: part for part in data.evaluation if part.only_at_the_end}
    assert list(tests) == ["test_aligned", "test_conflicting"]
    assert {part.role for part in tests.values()} == {"ood_aligned", "ood_conflicting"}
    assert {len(part.source) for part in tests.values()} == {8}
    assert tests["test_aligned"].source[0]["image"].shape == (12, 16, 3)
    (validation,) = [part.source for part in data.evaluation if part.role == "validation"]
    parts = [set(column(source, "object")) for source in (data.train["north"], validation)]
    assert parts[0].isdisjoint(parts[1])
    assert len(parts[0] | parts[1]) == 8


def test_without_the_setting_the_level_of_groups_is_not_clear_and_the_remedy_works(config):
    config.data.group = ""
    with pytest.raises(UserError, match=re.escape("or set config.data.group=folder")):
        load(config.data)
    builder = prepare(config.data.root, config.data.prepared, folder="birds", group="folder")
    assert builder.info.features["label"].names == ["land bird", "water bird"]
    data = load(config.data)
    assert "group" not in data.train["north"][0]
    assert "groups" not in describe_data(config, data)


def test_images_without_a_folder_below_their_class_are_named(config, tmp_path):
    write_image(tmp_path / "data" / "birds" / "north" / "land bird" / "x.png", 99)
    text = r"but 1 of 33 images are in no folder below their class's \(north/land bird/x\.png\); sort them"
    with pytest.raises(UserError, match=text):
        load(config.data)


def test_a_data_set_that_knows_its_groups_takes_no_others():
    config = default_config()
    config.data.group = "folder"
    with pytest.raises(
        UserError, match=r"config\.data\.group is 'folder'; it must be '': emoji_scenes knows its groups"
    ):
        check(config)
