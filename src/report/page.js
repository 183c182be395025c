"use strict";
(() => {
  const page = 500;
  const table = document.getElementById("canaries");
  const body = table.tBodies[0];
  const more = document.getElementById("more");
  const rows = Array.from(body.rows).concat(Array.from(more.content.querySelectorAll("tr")));
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const search = document.getElementById("search");
  const count = document.getElementById("count");
  const next = document.getElementById("next");
  document.querySelector(".tools").hidden = false;
  document.querySelector(".rest").hidden = true;
  let order = rows;
  let most = page;
  const show = () => {
    const wanted = search.value.trim().toLowerCase();
    const found = order.filter((row) => texts.get(row).includes(wanted));
    body.replaceChildren(...found.slice(0, most));
    next.hidden = found.length <= most;
    const listed = found.length > most ? ", the first " + most + " listed" : "";
    count.textContent = found.length + " of " + rows.length + " shown" + listed;
  };
  search.addEventListener("input", () => { most = page; show(); });
  next.addEventListener("click", () => { most += page; show(); });
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
        const way = typeof a[0] === "number" && typeof b[0] === "number"
          ? a[0] - b[0] : String(a[0]).localeCompare(String(b[0]));
        return (up ? way : -way) || a[1] - b[1];
      });
      order = keyed.map((entry) => entry[2]);
      show();
    });
  });
  show();
})();
