"use strict";
// Sorts and filters the tables, and shows explanations. The address keeps it all: #target?table=filter&table.sort=-3
const WHOLE = 1000, AROUND = 40;
const byId = (id) => document.getElementById(id);

async function unpacked(element) {
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

function address() {
  const [target, query] = location.hash.slice(1).split("?");
  return { target, query: new URLSearchParams(query || "") };
}

function remember(name, value) {
  const { target, query } = address();
  if (value) query.set(name, value); else query.delete(name);
  const text = query.toString();
  history.replaceState(null, "", "#" + target + (text ? "?" + text : ""));
}

function barOf(share) {
  const space = "http://www.w3.org/2000/svg", svg = document.createElementNS(space, "svg");
  svg.setAttribute("class", "bar");
  svg.setAttribute("viewBox", "0 0 60 10");
  svg.setAttribute("aria-hidden", "true");
  for (const [width, name] of [[60, "full"], [share * 60, ""]]) {
    const rect = document.createElementNS(space, "rect");
    rect.setAttribute("width", width);
    rect.setAttribute("height", 10);
    if (name) rect.setAttribute("class", name);
    svg.append(rect);
  }
  return svg;
}

class Sheet {
  constructor(box) {
    this.key = box.id;
    this.scroll = box.querySelector(".scroll");
    this.table = box.querySelector("table");
    this.body = this.table.tBodies[0];
    this.heads = [...this.table.tHead.rows[0].cells];
    this.styles = this.heads.map((head) => head.className);
    this.rows = [...this.body.rows].map((row) => ({
      element: row,
      texts: [...row.cells].map((cell) => cell.textContent.trim()),
      values: [...row.cells].map((cell) => (cell.dataset.v === undefined ? null : Number(cell.dataset.v))),
    }));
    this.filter = "";
    this.sort = 0;
    this.addControls(box);
  }

  async load(element) {
    const rows = await unpacked(element);
    const known = this.rows;
    this.rows = rows.map((cells, place) => {
      const parts = cells.map((cell) => (Array.isArray(cell) ? cell : [cell]));
      return {
        element: place < known.length ? known[place].element : null,
        parts,
        texts: parts.map((part) => part[0]),
        values: parts.map((part) => part[1] ?? null),
      };
    });
  }

  addControls(box) {
    this.heads.forEach((head, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => this.sortBy(Math.abs(this.sort) === place + 1 ? -this.sort : place + 1));
    });
    if (this.rows.length < 6) return;
    const line = document.createElement("p"), label = document.createElement("label");
    line.className = "filter";
    this.input = document.createElement("input");
    this.input.type = "search";
    this.input.autocomplete = "off";
    label.append("Filter: all of these words ", this.input);
    this.said = document.createElement("output");
    line.append(label, this.said);
    box.insertBefore(line, this.scroll);
    this.input.addEventListener("input", () => {
      this.filter = this.input.value;
      remember(this.key, this.filter);
      this.draw();
    });
  }

  sortBy(place) {
    this.sort = place;
    remember(this.key + ".sort", place ? String(place) : "");
    this.draw();
  }

  restore(query) {
    this.filter = query.get(this.key) || "";
    const sort = Number.parseInt(query.get(this.key + ".sort") || "0", 10);
    this.sort = Math.abs(sort) <= this.heads.length ? sort : 0;
    if (this.input) this.input.value = this.filter;
    this.draw();
  }

  shown() {
    const words = this.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const rows = this.rows.filter((row) => {
      row.lower ??= row.texts.join(" ").toLowerCase();
      return words.every((word) => row.lower.includes(word));
    });
    const place = Math.abs(this.sort) - 1, sign = Math.sign(this.sort);
    if (place < 0) return rows;
    const order = new Intl.Collator("en", { numeric: true }).compare;
    const compare = (one, other) => {
      const [a, b] = [one.values[place], other.values[place]];
      if (a !== null && b !== null) return sign * (a - b);
      if (a !== null || b !== null) return a === null ? 1 : -1;  // unknown figures come last, either way
      return sign * order(one.texts[place], other.texts[place]);
    };
    return rows.sort(compare);
  }

  elementOf(row) {
    if (row.element) return row.element;
    const element = document.createElement("tr");
    row.parts.forEach(([text, , href, tone, share], place) => {
      const cell = element.insertCell();
      cell.className = [this.styles[place], tone || ""].join(" ").trim();
      if (share !== undefined && share !== null) cell.append(barOf(share), " ");
      if (href) {
        const link = document.createElement("a");
        link.href = href;
        link.textContent = text;
        cell.append(link);
      } else {
        cell.append(text);
      }
    });
    row.element = element;
    return element;
  }

  draw() {
    this.current = this.shown();
    this.heads.forEach((head, place) => {
      const sorted = Math.abs(this.sort) - 1 === place;
      head.setAttribute("aria-sort", !sorted ? "none" : this.sort > 0 ? "ascending" : "descending");
    });
    if (this.said) this.said.textContent = `${this.current.length.toLocaleString("en")} of ${this.rows.length.toLocaleString("en")} rows`;
    const windowed = this.current.length > WHOLE;
    this.scroll.classList.toggle("window", windowed);
    if (windowed) {
      this.table.setAttribute("aria-rowcount", this.current.length + 1);
      this.scroll.onscroll = () => requestAnimationFrame(() => this.drawWindow());
      this.first = undefined;
      this.scroll.scrollTop = 0;
      this.drawWindow();
    } else {
      this.table.removeAttribute("aria-rowcount");
      this.scroll.onscroll = null;
      this.body.replaceChildren(...this.current.map((row) => this.elementOf(row)));
    }
  }

  drawWindow() {
    const height = this.height || 30;
    const first = Math.max(0, Math.floor(this.scroll.scrollTop / height) - AROUND);
    if (this.first !== undefined && Math.abs(first - this.first) < AROUND / 2) return;
    this.first = first;
    const last = Math.min(this.current.length, first + 3 * AROUND);
    const rows = this.current.slice(first, last).map((row, place) => {
      const element = this.elementOf(row);
      element.setAttribute("aria-rowindex", first + place + 2);
      return element;
    });
    this.body.replaceChildren(this.gap(first * height), ...rows, this.gap((this.current.length - last) * height));
    if (!this.height && rows.length) this.height = this.body.offsetHeight && rows.reduce((sum, row) => sum + row.offsetHeight, 0) / rows.length;
  }

  gap(height) {
    const row = document.createElement("tr"), cell = row.insertCell();
    row.className = "gap";
    row.setAttribute("aria-hidden", "true");
    cell.colSpan = this.heads.length;
    cell.height = height;
    return row;
  }
}

const sheets = new Map();
let explanations = null, shownIntent = -1, openedFrom = null;

async function explain(number) {
  explanations ??= await unpacked(byId("explanations"));
  const lines = explanations.intents[number];
  if (!lines) return;
  shownIntent = number;
  const text = byId("explanation-text"), dialog = byId("explanation");
  text.replaceChildren();
  let list = null;
  for (const line of lines.map((place) => explanations.lines[place])) {
    if (line.startsWith("#Intent ")) {
      byId("explanation-title").textContent = line.slice(1);
    } else if (line.startsWith("#")) {
      const title = document.createElement("h3");
      title.textContent = line.slice(1);
      text.append(title);
      list = null;
    } else {
      if (!list) text.append(list = document.createElement("ul"));
      const item = document.createElement("li");
      item.textContent = line;
      if (/^(fail|unavailable) /.test(line)) item.className = "bad";
      list.append(item);
    }
  }
  byId("explanation-before").disabled = number === 0;
  byId("explanation-after").disabled = number + 1 >= explanations.intents.length;
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  byId("explanation-title").focus();
}

function go(number) {
  const { query } = address(), text = query.toString();
  location.hash = "#i" + number + (text ? "?" + text : "");
}

function follow() {
  const { target, query } = address();
  for (const [key, sheet] of sheets) {
    const wanted = [query.get(key) || "", Number.parseInt(query.get(key + ".sort") || "0", 10)];
    if (sheet.filter !== wanted[0] || sheet.sort !== wanted[1]) sheet.restore(query);
  }
  const intent = /^i(\d+)$/.exec(target);
  if (intent) {
    explain(Number(intent[1]));
    return;
  }
  if (byId("explanation").open) byId("explanation").close();
  byId(decodeURIComponent(target))?.scrollIntoView();
}

async function begin() {
  const dialog = byId("explanation");
  byId("explanation-before").addEventListener("click", () => go(shownIntent - 1));
  byId("explanation-after").addEventListener("click", () => go(shownIntent + 1));
  byId("explanation-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => {
    const { target, query } = address();
    if (/^i\d+$/.test(target)) history.replaceState(null, "", "#?" + query.toString());
    openedFrom?.focus({ preventScroll: true });
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("a[href^='#i']");
    if (!link || !/^#i\d+$/.test(link.getAttribute("href"))) return;
    event.preventDefault();  // keep the filters in the address
    openedFrom = link;
    if (shownIntent === Number(link.getAttribute("href").slice(2)) && address().target === "i" + shownIntent) explain(shownIntent);
    else go(Number(link.getAttribute("href").slice(2)));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      sheets.get("intents")?.input?.focus();
    }
  });
  for (const box of document.querySelectorAll("div.table")) {
    if (!box.querySelector("table")) continue;
    const sheet = new Sheet(box), rows = box.querySelector("script.rows");
    sheets.set(box.id, sheet);
    if (rows) await sheet.load(rows);
    sheet.restore(address().query);
  }
  document.documentElement.dataset.ready = "yes";
  window.addEventListener("hashchange", follow);
  if (location.hash.length > 1) follow();
}

begin();
