"use strict";
(() => {
  const table = document.getElementById("canaries");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  document.querySelector(".tools").hidden = false;
  const filter = () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    rows.forEach((row, at) => {
      const hit = texts[at].includes(wanted);
      row.hidden = !hit;
      shown += hit ? 1 : 0;
    });
    count.textContent = shown + " of " + rows.length + " shown";
  };
  search.addEventListener("input", filter);
  filter();
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => {
        const cell = row.cells[column];
        const text = cell.dataset.v || cell.textContent;
        const number = Number(text);
        return text !== "" && !Number.isNaN(number) ? number : text;
      };
      const keyed = rows.map((row, at) => [value(row), at, row]);
      keyed.sort((a, b) => {
        const order = typeof a[0] === "number" && typeof b[0] === "number"
          ? a[0] - b[0] : String(a[0]).localeCompare(String(b[0]));
        return (up ? order : -order) || a[1] - b[1];
      });
      body.append(...keyed.map((entry) => entry[2]));
    });
  });
})();
