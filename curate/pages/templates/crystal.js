// A row in, the opened crystal out: structure and text side by side, condensed form, properties.

const PIECE = 100; // crystals packed together
const pieces = new Map();
let viewer = null;
let wanted = -1; // the row asked for last

/** What was packed under a number; pieces are unpacked once. */
async function packedOne(kind, number) {
  if (number < 0) return null;
  const name = `${kind}-${Math.floor(number / PIECE)}`;
  if (!pieces.has(name)) pieces.set(name, unpacked(name));
  return (await pieces.get(name))[number % PIECE];
}

async function openCrystal(row) {
  const {columns, rows} = table.packed;
  const cell = (key) => rows[key]?.[row];
  wanted = row;
  const detail = await packedOne("details", rows.detail[row]);
  const condensed = await packedOne("condensed", rows.condensed[row]);
  if (wanted !== row) return; // another was asked for meanwhile
  viewer ??= new Viewer($("structure"));
  const formula = cell("chemical_formula_reduced");
  $("crystal-name").textContent = formula ? `${cell("material_id")} · ${formula}` : cell("material_id");
  if (!$("crystal").open) $("crystal").showModal();
  viewer.show(detail, table.packed);
  showLegend(detail);
  $("text").replaceChildren(...textOf(detail, cell("error_message")));
  $("attribution").textContent = detail?.erased?.note ?? "";
  const facts = columns.filter(({key}) => key !== "material_id" && cell(key) !== null && cell(key) !== undefined)
    .map((column) => [column.label, written(column, cell(column.key), true)]);
  $("facts").replaceChildren(...[...facts, ...Object.entries(detail?.facts ?? {})]
    .flatMap(([name, value]) => [made("dt", name), made("dd", value)]));
  showCondensed(condensed);
  history.replaceState(null, "", "#crystal=" + encodeURIComponent(cell("material_id")));
  $("crystal").dataset.row = row;
}

function showLegend(detail) {
  const counts = new Map();
  for (const symbol of detail?.species ?? []) counts.set(symbol, (counts.get(symbol) ?? 0) + 1);
  $("legend").replaceChildren(...[...counts].map(([symbol, n]) =>
    made("span", `${symbol} ${n}`, {style: `--color: ${table.packed.elements[symbol]?.color ?? "#999"}`})));
  if (!detail?.lattice) { $("cell").textContent = ""; return; }
  const sizes = detail.lattice.map((vector) => Math.hypot(...vector));
  const angle = (i, j) => Math.acos(detail.lattice[i].reduce((sum, x, k) => sum + x * detail.lattice[j][k], 0) / sizes[i] / sizes[j]) * 180 / Math.PI;
  const angles = [angle(1, 2), angle(0, 2), angle(0, 1)].map((x) => x.toFixed(1));
  $("cell").textContent = `a, b, c ${sizes.map((x) => x.toFixed(3)).join(", ")} Å; α, β, γ ${angles.join(", ")}°. `
    + "Drag to turn, scroll to enlarge. Lines join atoms nearer than 1.15 times their covalent radii; the text has its own bonds.";
}

/** The description; where the model was asked sentence by sentence, each with what it moved. */
function textOf(detail, error) {
  const erased = detail?.erased;
  if (!erased) return [made("span", detail?.text ?? (error ? `No description: ${error}` : "The page holds no text for this crystal."))];
  const largest = Math.max(...erased.effects.map(Math.abs), 1e-12);
  return erased.sentences.flatMap((sentence, n) => {
    const effect = erased.effects[n];
    const tint = effect > 0 ? "var(--up)" : "var(--down)";
    const sign = effect > 0 ? "+" : effect < 0 ? "−" : "";
    const mark = made("mark", sentence, {style: `--tint: ${tint}; --share: ${Math.abs(effect) / largest}`});
    return [mark, made("sup", ` ${sign}${shown(Math.abs(effect), 2)} `)];
  });
}

/** Crystals that stand on the page itself, structure and text side by side, drawn when they come into view. */
function watchPairs() {
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) {
      watcher.unobserve(entry.target);
      fillPair(entry.target);
    }
  }, {rootMargin: "200px"});
  document.querySelectorAll("[data-crystal]").forEach((element) => watcher.observe(element));
}

async function fillPair(element) {
  const row = table.places.get(element.dataset.crystal);
  const detail = await packedOne("details", table.packed.rows.detail[row]);
  new Viewer(element.querySelector("canvas")).show(detail, table.packed);
  element.querySelector(".text").replaceChildren(...textOf(detail));
  element.querySelector("button").addEventListener("click", () => openCrystal(row));
  element.dataset.filled = "yes";
}

function showCondensed(found) {
  $("condensed").hidden = !found;
  $("condensed").querySelector("pre").textContent = found ? JSON.stringify(found.condensed, null, 1) : "";
}

function closeCrystal() {
  history.replaceState(null, "", location.pathname + location.search);
}
