import base64
import dataclasses
import hashlib
import re

import numpy as np
import pytest

from align_jax.errors import UserError
from align_jax.evaluation.bootstrap import clustered_interval
from align_jax.reporting.explanations_page import explanations_page
from tests.reporting.explanations_page.made_up import CAMS, GRADIENTS, HIGHER_IS_BETTER, explanations
from tests.reporting.test_page import HOSTILE, Page

RUN = explanations()


@pytest.fixture(scope="module")
def html():
    return explanations_page({"align": RUN}, resamples=20)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def policy(html):
    return re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)[1]


def scripts(html):
    return re.findall(r"<script>(.*?)</script>", html, re.DOTALL)


def test_the_page_loads_nothing_and_allows_its_own_script_only(html, page):
    (script,) = scripts(html)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy(html).split("; ") == [
        "default-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
    ]
    assert page.tags.count("script") == 1
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert all(address.startswith(("data:image/webp;base64,", "#")) for address in re.findall(r"url\(([^)]*)\)", html))
    assert not re.search(r"<[^>]*\son\w+=", html)


def test_the_script_is_the_same_whatever_the_run_holds(html):
    other = explanations(3, names=[HOSTILE, "a", "b"])
    assert scripts(explanations_page({HOSTILE: other}, resamples=20)) == scripts(html)


def test_names_are_text_wherever_they_stand():
    image = RUN.images[0]
    image = dataclasses.replace(
        image, **dict.fromkeys(("name", "domain", "label", "predicted"), HOSTILE), maps={HOSTILE: image.maps["random"]}
    )
    values = {HOSTILE: {HOSTILE: np.zeros(6)}}
    settings = dataclasses.replace(RUN.settings, fill=HOSTILE, insertion_fill=HOSTILE, explained_class=HOSTILE)
    run = dataclasses.replace(
        RUN, images=[image], values=values, settings=settings, curves={HOSTILE: RUN.curves["random"]}
    )
    html = explanations_page({HOSTILE: run, HOSTILE + '"onerror="': run}, resamples=20)
    page = Page(html)
    assert page.tags.count("script") == 1
    assert page.text.count(HOSTILE) >= 20
    assert "49" not in html.partition("<main>")[0]


def test_every_card_is_there_without_the_script(html, page):
    assert html.count("<article") == len(RUN.images)
    # An original, and for each method its map and the pictures without and with its most important pixels.
    assert html.count('role="img" aria-label="the image"') == 6
    for method in RUN.methods:
        assert html.count(f'aria-label="map of {method}"') == 6
    assert html.count("without its top 20 %") == html.count("only its top 20 %") == 6 * len(RUN.methods)
    for image in RUN.images:
        assert image.name in page.text
    assert '<form id="controls" class="controls" autocomplete="off" hidden>' in html
    value = RUN.values["HiResCAM"]["sufficiency"][3]
    assert f"<td>{value:.3f}</td>" in html


def test_settings_are_named(page):
    for words in (
        "Run align",
        "Images measured 6",
        "predicted",
        "image_mean",
        "blur",
        "insertion 20",
        "random, centre",
    ):
        assert words in page.text


def test_images_that_could_not_be_read_are_named_with_the_reason(page):
    html = explanations_page({"align": RUN}, resamples=20, skipped=[("a/broken.png", "is cut off"), (HOSTILE, HOSTILE)])
    text = Page(html).text
    assert "Not read 2" in text
    assert "a/broken.png: is cut off" in text
    assert f"{HOSTILE}: {HOSTILE}" in text
    assert '<a href="#unread" class="warning">' in html
    assert "Not read" not in page.text


def test_pictures_are_stored_once(html):
    for image in re.findall(r"--image:url\(([^)]*)\)", html):
        assert html.count(image) == 1


def test_two_hundred_images_of_eight_methods_fit():
    """Forty images in a fifth of the bytes, which the rest of the page makes a little harder."""
    metrics = dict.fromkeys([*HIGHER_IS_BETTER, *(f"metric_{i}" for i in range(6))], True)
    run = explanations(40, 40, side=160, methods=CAMS + GRADIENTS, metrics=metrics)
    html = explanations_page({"run": run}, resamples=20, most_bytes=2_000_000)
    assert len(html.encode()) <= 2_000_000
    assert html.count("<article") == 40
    assert html.count("--map:") == 40 * 11
    with_room = explanations_page({"run": dataclasses.replace(run, images=run.images[:2])}, resamples=20)
    assert len(with_room.encode()) / 2 > len(html.encode()) / 40


def test_a_method_without_a_map_and_a_map_without_an_order():
    images = [
        dataclasses.replace(i, maps={"Grad-CAM": np.zeros((32, 32), np.float32), "random": i.maps["random"]})
        for i in RUN.images
    ]
    page = Page(explanations_page({"run": dataclasses.replace(RUN, images=images)}, resamples=20))
    assert page.text.count("orders no pixels") == 6
    assert page.text.count("no map") == 3 * 6


def test_a_page_without_cards_values_or_curves():
    page = Page(explanations_page({"run": dataclasses.replace(RUN, images=[], curves={})}, resamples=20))
    assert "0 of 0 images" in page.text
    assert "Deletion: not measured" in page.text
    assert "Insertion: not measured" in page.text
    page = Page(explanations_page({"run": dataclasses.replace(RUN, images=[], values={}, curves={})}, resamples=20))
    assert "Means over images" not in page.text


def test_curves_have_a_legend_and_words(html, page):
    assert html.count('class="panel"') == 2
    assert "Deletion: mean probability of the explained class by the share of pixels that are removed." in html
    mean = RUN.curves["random"].insertion.mean(axis=0)
    assert f"random: {mean[0]:.3f} at 0 %, {mean[10]:.3f} at 50 %, {mean[-1]:.3f} at 100 %." in html
    styles = re.findall(r'style="stroke:var\((--[\w-]+)\);stroke-width:2(?:;stroke-dasharray:([\d. ]+))?"', html)
    assert len(styles) == len(set(styles)) == len(RUN.methods)
    # The random map's band, in the legend and in both panels; six images are too few for one.
    enough = explanations_page({"align": explanations(6, 8)}, resamples=20)
    for drawn, times in ((html, 0), (enough, 1)):
        assert drawn.count(";opacity:.25") == times
        assert drawn.count("fill-opacity: 0.25") == 2 * times


def test_images_without_a_curve_are_left_out_and_counted():
    broken = RUN.curves["HiResCAM"]
    deletion = broken.deletion.copy()
    deletion[:2] = np.nan
    curves = RUN.curves | {"HiResCAM": dataclasses.replace(broken, deletion=deletion)}
    html = explanations_page({"run": dataclasses.replace(RUN, curves=curves)}, resamples=20)
    assert Page(html).text.count("HiResCAM 2 undefined") == 1
    mean = deletion[2:].mean(axis=0)
    assert f"HiResCAM: {mean[0]:.3f} at 0 %, {mean[10]:.3f} at 50 %, {mean[-1]:.3f} at 100 %." in html


def test_runs_stand_side_by_side():
    runs = {"erm": RUN, "align": explanations(seed=1)}
    html = explanations_page(runs, resamples=20)
    assert html.count('class="of-run"') == 12
    assert html.count('class="panel"') == 4
    assert "Difference from the run erm" in html
    assert "not measured alike" not in html
    other = dataclasses.replace(runs["align"], settings=dataclasses.replace(RUN.settings, fill="black"))
    assert "not measured alike: fill." in explanations_page({"erm": RUN, "align": other}, resamples=20)


def test_clusters_make_the_interval():
    run = dataclasses.replace(explanations(2, 12), clusters=list("aaabbcdefghh"))
    low, high = clustered_interval(run.values["random"]["sufficiency"], run.cluster_of, resamples=50)
    html = explanations_page({"run": run}, resamples=50)
    assert f"[{low:.3f}, {high:.3f}]" in html
    assert "images of one cluster are not independent" in html


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ({}, "no run"),
        ({"a": RUN, "b": explanations(5)}, "'a' and 'b' explain different images"),
        ({"a": dataclasses.replace(RUN, clusters=["x"])}, "the clusters in the run 'a' are of 1 images"),
        ({"a": dataclasses.replace(RUN, images=[dataclasses.replace(RUN.images[0], place=6)])}, "0 .. 5"),
        (
            {"a": dataclasses.replace(RUN, settings=dataclasses.replace(RUN.settings, shown_fraction=1.0))},
            "shown_fraction 1.0",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(runs, words):
    with pytest.raises(UserError, match=re.escape(words)):
        explanations_page(runs)
