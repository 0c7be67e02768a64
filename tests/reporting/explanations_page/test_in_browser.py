import dataclasses

import numpy as np
import pytest

from align_jax.reporting.explanations_page import explanations_page
from tests.reporting.explanations_page.browser import CHROMIUM, Browser
from tests.reporting.explanations_page.made_up import explanations

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

RUNS = {"erm": explanations(7), "align": explanations(7, seed=1)}
PLACES = (
    "[...document.querySelectorAll('#cards > article')].filter(a => a.offsetParent).map(a => Number(a.dataset.place))"
)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_text(explanations_page(RUNS, resamples=20), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def opened(browser, page):
    browser.look(1440, 1000)
    browser.open(page)
    yield browser
    assert browser.complaints == []


def choose(browser, identifier, value, event="change"):
    """Sets a control as a user does, and gives the places of the cards that are seen."""
    control = f"document.getElementById('{identifier}')"
    browser.ask(f"{control}.value = '{value}'; {control}.dispatchEvent(new Event('{event}'))")
    assert browser.ask(f"{control}.value") == value
    return browser.ask(PLACES)


def places(condition):
    return [image.place for image in RUNS["erm"].images if condition(image)]


def test_filters(opened):
    assert choose(opened, "domain", "") == list(range(7))
    assert choose(opened, "domain", "1") == places(lambda image: image.domain == "sketch")
    assert opened.ask("document.getElementById('count').textContent") == "3 of 7 images"
    both = places(lambda image: image.domain == "sketch" and image.label == "dog")
    assert choose(opened, "class", "1") == both == [3]
    choose(opened, "domain", "")
    choose(opened, "class", "")
    wrong_in_align = [image.place for image in RUNS["align"].images if not image.right]
    assert choose(opened, "prediction", "1-0") == wrong_in_align
    assert choose(opened, "prediction", "0-0") == places(lambda image: not image.right) != wrong_in_align
    choose(opened, "domain", "1")
    assert choose(opened, "prediction", "0-0") == []
    assert opened.ask("document.getElementById('count').textContent") == "No image matches."
    opened.ask("document.querySelector('[type=reset]').click(); new Promise(done => setTimeout(done, 50))")
    assert opened.ask(PLACES) == list(range(7))


def test_sorts_by_any_metric_of_any_method(opened):
    values = RUNS["align"].values["centre"]["sufficiency"]
    at = RUNS["align"].methods.index("centre")
    choose(opened, "metric", "1")
    choose(opened, "of", f"1-{at}")
    assert choose(opened, "order", "-1") == np.argsort(-values).tolist()
    assert choose(opened, "order", "1") == np.argsort(values).tolist()
    assert choose(opened, "order", "") == list(range(7))
    # The number below each map is that of the chosen metric.
    shown = f'document.querySelector(\'article[data-place="4"] figure[data-of="1-{at}"] .score\').textContent'
    assert opened.ask(shown) == f"{values[4]:.3f}"


def test_undefined_values_come_last(opened):
    values = RUNS["erm"].values["HiResCAM"]["pointing_game"]
    undefined = np.flatnonzero(np.isnan(values)).tolist()
    assert undefined == [0, 5]
    choose(opened, "metric", "3")
    choose(opened, "of", "0-1")
    for order in ("-1", "1"):
        assert choose(opened, "order", order)[-2:] == undefined


def test_the_slider_changes_the_maps_and_nothing_else(opened):
    opacity = "(s => getComputedStyle(document.querySelector(s), '::after').opacity)"
    assert opened.ask(f"{opacity}('.map')") == "0.6"
    choose(opened, "opacity", "25", event="input")
    assert opened.ask(f"{opacity}('.map')") == "0.25"
    assert opened.ask(f"{opacity}('.removed')") == opened.ask(f"{opacity}('.kept')") == "1"
    assert opened.ask("document.getElementById('opacity-text').textContent") == "25 %"


def test_one_method_alone(opened):
    choose(opened, "method", "1")
    seen = "[...document.querySelectorAll('figure[data-of]')].filter(f => f.offsetParent)"
    methods = opened.ask(f"[...new Set({seen}.map(f => f.querySelector('.what').textContent))]")
    assert methods == ["HiResCAM"]
    choose(opened, "method", "")
    assert opened.ask(f"{seen}.length") == 7 * 2 * 5


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_fits_the_window_and_draws_its_pictures(opened, width, dark):
    opened.look(width, 900, dark)
    assert opened.ask("document.documentElement.scrollWidth") == width
    assert opened.ask(
        "document.getElementById('controls').scrollWidth <= document.getElementById('controls').clientWidth"
    )
    opened.ask("document.querySelector('.map').scrollIntoView({behavior: 'instant'})")
    first = opened.picture()
    choose(opened, "opacity", "0", event="input")
    assert opened.picture() != first


LONG = {
    "quickstart/background_swap": explanations(3, methods=("Integrated Gradients", "Grad-CAM")),
    "quickstart/align": explanations(3, methods=("Integrated Gradients", "Grad-CAM"), seed=1),
}
# Of a table: its frame, whether it goes on beyond it and says so, and where the cells of its first row stand.
FIRST_ROW = """(frame => {
  const row = frame.querySelector('tbody tr:not(.group)');
  const box = element => (({left, right}) => ({left, right}))(element.getBoundingClientRect());
  return {
    frame: box(frame), overflows: frame.scrollWidth > frame.clientWidth,
    names: [...row.querySelectorAll('th')].map(box),
    values: [...row.querySelectorAll('td')].map(box), hint: !!frame.previousElementSibling.offsetParent,
  };
})(document.querySelectorAll('#metrics .scroll')[NUMBER])"""


@pytest.mark.parametrize("runs", [{"quickstart/align": LONG["quickstart/align"]}, LONG], ids=["one run", "two runs"])
def test_on_a_phone_a_table_shows_whole_values_beside_its_names(browser, tmp_path, runs):
    path = tmp_path / "index.html"
    path.write_text(explanations_page(runs, resamples=20), encoding="utf-8")
    browser.look(390, 900)
    browser.open(path)
    browser.ask("new Promise(done => setTimeout(done, 100))")
    for number in range(2):
        row = browser.ask(FIRST_ROW.replace("NUMBER", str(number)))
        assert row["overflows"]
        assert row["hint"], "it is said that the table goes on"
        assert len(row["names"]) == len(runs)
        whole = [value for value in row["values"] if value["right"] <= row["frame"]["right"]]
        assert whole, "a value can be read without scrolling"
    # Scrolled to its end, the names still stand side by side at its left.
    browser.ask("document.querySelector('#metrics .scroll').scrollLeft = 10000")
    row = browser.ask(FIRST_ROW.replace("NUMBER", "0"))
    at = row["frame"]["left"]
    for name in row["names"]:
        assert abs(name["left"] - at) < 3
        at = name["right"]
    assert at < row["values"][-1]["left"]
    assert row["values"][-1]["right"] <= row["frame"]["right"]
    browser.look(1440, 900)
    browser.ask("new Promise(done => setTimeout(done, 100))")
    row = browser.ask(FIRST_ROW.replace("NUMBER", "0"))
    assert (row["overflows"], row["hint"]) == (False, False)
    assert browser.complaints == []


def test_nothing_of_a_stranger_runs(browser, tmp_path):
    hostile = ["<script>window.run = 1</script>", '"onerror="window.run = 1', "'><img src=x onerror=window.run=1>"]
    run = explanations(3, names=hostile)
    run = dataclasses.replace(run, images=[dataclasses.replace(i, domain=i.name, predicted=i.name) for i in run.images])
    written = explanations_page({hostile[0]: run, hostile[2]: run}, resamples=20)
    path = tmp_path / "index.html"
    path.write_text(written, encoding="utf-8")
    browser.open(path)
    assert browser.complaints == []
    assert browser.ask("window.run === undefined && document.scripts.length") == 1
    assert browser.ask("[...document.querySelectorAll('#domain option')].map(o => o.textContent)")[1:] == sorted(
        hostile
    )
    assert choose(browser, "domain", "1")
    # Even if markup got in, the browser would refuse it.
    worse = (
        "<script>window.run = 1</script><img src='data:x' onerror='window.run = 1'><script src='data:,run=1'></script>"
    )
    path.write_text(written.replace("</main>", f"{worse}</main>"), encoding="utf-8")
    browser.open(path)
    assert browser.ask("window.run === undefined && document.scripts.length") == 3
    assert len([complaint for complaint in browser.complaints if "Content Security Policy" in complaint]) == 3


def test_all_is_there_without_the_script(browser, page):
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.look(1440, 1000)
        browser.open(page)
        assert not has_a_box(browser, "#controls")
        for selector in (".map", ".removed", ".kept", ".panel svg", ".legend", "#metrics table"):
            assert has_a_box(browser, selector), selector
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)


def has_a_box(browser, selector):
    """Whether an element takes any room on the page."""
    root = browser.call("DOM.getDocument", depth=0)["root"]["nodeId"]
    node = browser.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
    assert node
    try:
        model = browser.call("DOM.getBoxModel", nodeId=node)["model"]
    except AssertionError:  # there is none
        return False
    return model["width"] > 0 and model["height"] > 0
