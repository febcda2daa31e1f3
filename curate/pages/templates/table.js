// The table: search, views, sorting by a column, pages; a row opens its crystal.

const ON_A_PAGE = 25;
const table = {packed: null, order: [], view: null, sort: "", page: 0, scores: null};

/** A cell as text. */
function written(column, value, withUnit = false) {
  if (column.kind === "spacegroup") return value ? `${table.packed.symbols[value - 1]} (${value})` : "–";
  const unit = withUnit && column.unit && column.unit !== "1" && value !== null ? ` ${column.unit}` : "";
  return shown(value, column.digits) + unit;
}

/** Words of the search as tests of a row. */
function tests(query) {
  const {columns, rows} = table.packed;
  return query.split(/\s+/).filter(Boolean).map((word) => {
    const compared = word.match(/^(.+?)(<=|>=|<|>|=)(-?[\d.]+(?:e-?\d+)?)$/i);
    const column = compared && columns.find(({label}) => label.toLowerCase().replaceAll(" ", "_") === compared[1].toLowerCase());
    if (column) {
      const [value, sign] = [Number(compared[3]), compared[2]];
      return (row) => {
        const cell = rows[column.key][row];
        if (typeof cell !== "number") return false;
        return {"<": cell < value, ">": cell > value, "<=": cell <= value, ">=": cell >= value, "=": cell === value}[sign];
      };
    }
    const element = /^[A-Z][a-z]?$/.test(word) && table.packed.elements[word]
      ? new RegExp(`${word}(?![a-z])`) : null;
    if (element) return (row) => element.test(rows.chemical_formula_reduced[row] ?? "");
    const part = word.toLowerCase();
    return (row) => table.words[row].includes(part);
  });
}

function arrange() {
  const {rows} = table.packed;
  const all = tests($("search").value);
  const wanted = table.view.ids ? table.view.ids.map((id) => table.places.get(id)).filter((row) => row !== undefined)
    : rows.material_id.keys();
  const {scores} = table; // of the question asked of the texts
  const order = [...wanted].filter((row) => (!scores || scores.has(row)) && all.every((test) => test(row)));
  const key = table.sort.replace(/^-/, "");
  if (key) {
    const sign = table.sort.startsWith("-") ? -1 : 1;
    const cells = rows[key];
    order.sort((one, other) => {
      const [x, y] = [cells[one], cells[other]];
      if (x === null || y === null) return (x === null) - (y === null); // empty cells last
      return sign * (typeof x === "string" ? x.localeCompare(y, "en", {numeric: true}) : x - y);
    });
  } else if (scores) order.sort((one, other) => scores.get(other) - scores.get(one) || one - other);
  table.order = order;
  table.page = 0;
  show();
}

function show() {
  const {columns, rows} = table.packed;
  const {order, page} = table;
  const pages = Math.max(1, Math.ceil(order.length / ON_A_PAGE));
  const body = order.slice(page * ON_A_PAGE, (page + 1) * ON_A_PAGE).flatMap((row) => {
    const line = made("tr", null, {tabindex: "0", "data-row": row});
    for (const column of columns) {
      const cell = made("td", written(column, rows[column.key][row]), column.kind === "number" ? {class: "n"} : {});
      if (column.kind === "text") cell.title = cell.textContent;
      line.append(cell);
    }
    if (!table.scores) return [line];
    const said = made("tr", null, {class: "said", "data-row": row});
    const cell = made("td", null, {colspan: columns.length});
    cell.append(made("div", bestSentence(row)));
    said.append(cell);
    return [line, said];
  });
  document.querySelector("#table tbody").replaceChildren(...body);
  $("found").textContent = `${order.length.toLocaleString("en")} of ${rows.material_id.length.toLocaleString("en")} crystals${saidOfTexts()}`;
  $("where").textContent = `page ${page + 1} of ${pages.toLocaleString("en")}`;
  $("earlier").disabled = page === 0;
  $("later").disabled = page + 1 >= pages;
  for (const header of document.querySelectorAll("#table th")) {
    const sorted = table.sort.replace(/^-/, "") === header.dataset.key;
    if (sorted) header.setAttribute("aria-sort", table.sort.startsWith("-") ? "descending" : "ascending");
    else header.removeAttribute("aria-sort");
  }
  document.querySelectorAll("#views button").forEach((button) =>
    button.setAttribute("aria-pressed", button.dataset.view === table.view.name));
}

/** What is to be known of a question asked of the texts. */
function saidOfTexts() {
  if (!table.scores) return "";
  const replaced = texts.replaced.length ? `, reading ${texts.replaced.join(", ")}` : "";
  return table.scores.size ? `, those first whose texts fit best${replaced}` : `: no text has any of these words${replaced}`;
}

async function ask() {
  const question = $("words").value;
  if (question.trim() && !texts.index) $("found").textContent = "Reading the texts…";
  const scores = await scored(question);
  if ($("words").value !== question) return; // asked on meanwhile
  if (scores) table.sort = "";
  else if (table.scores) table.sort = table.view.sort ?? "";
  table.scores = scores;
  arrange();
}

function choose(view) {
  table.view = view;
  table.sort = view.sort ?? "";
  arrange();
}

/** The crystal beside the opened one, in the order of the table. */
function step(by) {
  const next = table.order[table.order.indexOf(Number($("crystal").dataset.row)) + by];
  if (next !== undefined) openCrystal(next);
}

function listen() {
  const body = document.querySelector("#table tbody");
  const opened = (event) => event.target.closest("tr")?.dataset.row;
  body.addEventListener("click", (event) => opened(event) && openCrystal(Number(opened(event))));
  body.addEventListener("keydown", (event) => event.key === "Enter" && opened(event) && openCrystal(Number(opened(event))));
  document.querySelector("#table thead").addEventListener("click", (event) => {
    const key = event.target.closest("th")?.dataset.key;
    if (!key) return;
    table.sort = table.sort === key ? `-${key}` : key;
    arrange();
  });
  $("search").addEventListener("input", arrange);
  $("words").addEventListener("input", ask);
  $("earlier").addEventListener("click", () => { table.page--; show(); });
  $("later").addEventListener("click", () => { table.page++; show(); });
  $("previous").addEventListener("click", () => step(-1));
  $("next").addEventListener("click", () => step(1));
  $("close").addEventListener("click", () => $("crystal").close());
  $("crystal").addEventListener("close", closeCrystal);
  $("crystal").addEventListener("click", (event) => event.target === $("crystal") && $("crystal").close());
  document.querySelectorAll("[data-element]").forEach((button) => button.addEventListener("click", () => {
    $("search").value = button.dataset.element;
    choose(table.packed.views[0]);
    $("crystals").scrollIntoView();
  }));
}

async function start() {
  table.packed = await unpacked("table");
  const {columns, rows, views} = table.packed;
  table.places = new Map(rows.material_id.map((id, row) => [id, row]));
  table.words = rows.material_id.map((id, row) =>
    `${id} ${rows.chemical_formula_reduced?.[row] ?? ""} ${table.packed.symbols[rows.spacegroup?.[row] - 1] ?? ""} ${rows.error_message?.[row] ?? ""}`.toLowerCase());
  const header = made("tr");
  for (const column of columns) {
    const cell = made("th", column.label.replaceAll("_", "_\u200b"), {"data-key": column.key, scope: "col", class: column.kind === "number" ? "n" : ""});
    if (column.unit && column.unit !== "1") cell.append(made("small", column.unit));
    header.append(cell);
  }
  document.querySelector("#table thead").replaceChildren(header);
  $("views").replaceChildren(...views.map((view) => {
    const button = made("button", view.label, {type: "button", "data-view": view.name});
    button.addEventListener("click", () => choose(view));
    return button;
  }));
  listen();
  choose(views[0]);
  watchFigures();
  watchPairs();
  document.documentElement.dataset.ready = "yes";
  const linked = location.hash.match(/^#crystal=(.+)$/);
  const row = linked && table.places.get(decodeURIComponent(linked[1]));
  if (row !== undefined && row !== null) openCrystal(row);
}

start();
