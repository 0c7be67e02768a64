"use strict";
// Filters and sorts the cards, sets how strongly the maps cover their images, and says of which tables a part is out of
// view. It reads numbers from data- attributes and places words as text only: what a run is called can never become code
// or markup.
(() => {
  const form = document.getElementById("controls");
  const list = document.getElementById("cards");
  const control = (id) => document.getElementById(id);

  const cards = [...list.children].map((element) => ({
    element,
    place: Number(element.dataset.place),
    figures: [...element.querySelectorAll("figure")].map((figure) => ({
      figure,
      score: figure.querySelector(".score"),
      of: figure.dataset.of,
      values: figure.dataset.scores.split(" ").map(Number),
    })),
    numbers: [...element.querySelectorAll(".all-numbers tbody tr")].map((row) => row.cells),
  }));

  const matches = ({ dataset }) => {
    const [run, right] = control("prediction").value.split("-");
    return (
      ["", dataset.domain].includes(control("domain").value) &&
      ["", dataset.class].includes(control("class").value) &&
      (right === undefined || dataset.right[Number(run)] === right)
    );
  };

  const valueOf = (card) => {
    const found = card.figures.find(({ of }) => of === control("of").value);
    return found ? found.values[Number(control("metric").value)] : NaN;
  };

  // Undefined values come last, whichever way the others are sorted.
  const inOrder = () => {
    const direction = Number(control("order").value);
    const sorted = cards.map((card) => ({ card, value: direction ? valueOf(card) : 0 }));
    sorted.sort(
      (a, b) =>
        Number.isNaN(a.value) - Number.isNaN(b.value) ||
        (direction * (a.value - b.value)) || a.card.place - b.card.place,
    );
    return sorted.map(({ card }) => card.element);
  };

  const arrange = () => {
    let shown = 0;
    for (const { element } of cards) {
      element.hidden = !matches(element);
      shown += !element.hidden;
    }
    list.append(...inOrder());
    control("count").textContent = shown ? `${shown} of ${cards.length} images` : "No image matches.";
  };

  const label = () => {
    const metric = Number(control("metric").value);
    const option = control("metric").selectedOptions[0];
    control("shown-metric").textContent = option ? option.textContent : "";
    for (const { figures, numbers } of cards) {
      figures.forEach(({ score }, position) => {
        if (score) score.textContent = numbers[position][metric + 1].textContent;
      });
    }
  };

  const choose = () => {
    const method = control("method").value;
    list.classList.toggle("single", method !== "");
    for (const { figures } of cards) {
      for (const { figure } of figures) figure.hidden = method !== "" && figure.dataset.method !== method;
    }
  };

  const fade = () => {
    const percent = control("opacity").value;
    list.style.setProperty("--map-opacity", percent / 100);
    control("opacity-text").textContent = `${percent} %`;
  };

  const sideways = new ResizeObserver((changed) => {
    for (const { target } of changed) {
      target.previousElementSibling.hidden = target.scrollWidth <= target.clientWidth;
    }
  });
  for (const hint of document.querySelectorAll(".sideways")) sideways.observe(hint.nextElementSibling);

  const all = () => [arrange, label, choose, fade].forEach((change) => change());

  for (const id of ["domain", "class", "prediction", "order", "of"]) control(id).addEventListener("change", arrange);
  control("metric").addEventListener("change", () => { arrange(); label(); });
  control("method").addEventListener("change", choose);
  control("opacity").addEventListener("input", fade);
  form.addEventListener("submit", (event) => event.preventDefault());
  // The fields have their first values only after the event.
  form.addEventListener("reset", () => setTimeout(all));
  all();
  form.hidden = false;
})();
