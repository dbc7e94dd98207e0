"use strict";
/* Lays two pictures of an image over each other, for every gallery of the page. Fetches nothing and keeps nothing. */
for (const gallery of document.querySelectorAll(".gallery")) {
  const slider = gallery.querySelector(".slider");
  const cases = [...gallery.querySelectorAll(".case")];
  const [under, over] = slider.querySelectorAll("img");
  const view = slider.querySelector(".view");
  const range = slider.querySelector("input");
  const [which, left, right] = slider.querySelectorAll("select");

  const pictures = () => [...cases[which.selectedIndex].querySelectorAll("img")];
  const fill = (select, names, chosen) => {
    select.replaceChildren(...names.map((name) => new Option(name)));
    select.selectedIndex = Math.max(0, chosen);
  };
  const show = () => {
    for (const [image, select] of [[over, left], [under, right]]) {
      const picture = pictures()[select.selectedIndex];
      image.src = picture.src;
      image.alt = picture.alt;
    }
  };
  const move = () => {
    view.style.setProperty("--at", `${range.value}%`);
    range.setAttribute("aria-valuetext", `${range.value} % ${left.value}, the rest ${right.value}`);
  };

  if (cases.length) {
    const titles = [...cases[0].querySelectorAll("figcaption")].map((one) => one.textContent);
    const at = (title, otherwise) => (titles.includes(title) ? titles.indexOf(title) : otherwise);
    fill(which, cases.map((one) => one.getAttribute("aria-label")), 0);
    fill(left, titles, at("teacher", 1));
    fill(right, titles, at("student", 2));
    for (const select of [which, left, right]) select.addEventListener("change", () => { show(); move(); });
    range.addEventListener("input", move);
    show();
    move();
    slider.hidden = false;
  }
}
