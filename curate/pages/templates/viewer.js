// A cell with its atoms in, a picture that can be turned out: spheres, bonds and edges, far ones first.

const BOND = 1.15; // of the sum of two covalent radii
const FACE = 0.02; // an atom this near to a face is drawn on the opposite one too
const ATOM = 0.42; // drawn radius of an atom, of its covalent radius

/** Atoms, bonds and edges in Å around the middle of the cell. */
function drawnCell(detail, table) {
  const [a, b, c] = detail.lattice;
  const place = (f) => [0, 1, 2].map((k) => (f[0] - 0.5) * a[k] + (f[1] - 0.5) * b[k] + (f[2] - 0.5) * c[k]);
  const images = (x) => (x < FACE ? [x, x + 1] : x > 1 - FACE ? [x - 1, x] : [x]);
  const atoms = [];
  detail.species.forEach((symbol, n) => {
    const f = [0, 1, 2].map((k) => detail.positions[3 * n + k] / table.grid);
    for (const x of images(f[0])) for (const y of images(f[1])) for (const z of images(f[2]))
      atoms.push({symbol, at: place([x, y, z]), ...table.elements[symbol]});
  });
  const hasNonMetals = atoms.some((atom) => !atom.metal);
  const bonds = [];
  for (let i = 0; i < atoms.length; i++) for (let j = i + 1; j < atoms.length; j++) {
    const [one, other] = [atoms[i], atoms[j]];
    if (hasNonMetals && one.metal && other.metal) continue;
    const length = Math.hypot(...one.at.map((x, k) => x - other.at[k]));
    if (length > 0.4 && length < BOND * (one.radius + other.radius)) bonds.push(bondOf(one, other, length));
  }
  const corners = [0, 1].flatMap((x) => [0, 1].flatMap((y) => [0, 1].map((z) => [x, y, z])));
  const edges = corners.flatMap((from) => [0, 1, 2].filter((k) => !from[k])
    .map((k) => [from, from.map((x, n) => (n === k ? 1 : x))]))
    .map(([from, to]) => [place(from), place(to)]);
  const axes = [[1, 0, 0], [0, 1, 0], [0, 0, 1]].map((to, k) => ({name: "abc"[k], at: place(to)}));
  const size = Math.max(...atoms.map(({at, radius}) => Math.hypot(...at) + radius * ATOM), ...edges.flat().map((at) => Math.hypot(...at)));
  return {atoms, bonds, edges, axes, size};
}

/** The two halves of a bond, from the surface of either atom to the middle. */
function bondOf(one, other, length) {
  const along = (share) => one.at.map((x, k) => x + (other.at[k] - x) * share);
  const middle = along(0.5);
  const [start, end] = [(0.9 * ATOM * one.radius) / length, 1 - (0.9 * ATOM * other.radius) / length];
  return [{from: along(start), to: middle, color: one.color}, {from: along(end), to: middle, color: other.color}];
}

/** A turn by two angles, right and up, after another turn. */
function turned(matrix, right, up) {
  const [cr, sr, cu, su] = [Math.cos(right), Math.sin(right), Math.cos(up), Math.sin(up)];
  const turn = [[cr, 0, sr], [su * sr, cu, -su * cr], [-cu * sr, su, cu * cr]];
  return turn.map((row) => [0, 1, 2].map((k) => row.reduce((sum, x, n) => sum + x * matrix[n][k], 0)));
}

const START = turned([[1, 0, 0], [0, 0, 1], [0, -1, 0]], -0.45, 0.25); // c upwards

class Viewer {
  constructor(canvas) {
    this.canvas = canvas;
    this.cell = null;
    let last = null;
    canvas.addEventListener("pointerdown", (event) => { last = event; canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (!last) return;
      this.turn((event.clientX - last.clientX) / 120, (event.clientY - last.clientY) / 120);
      last = event;
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => { last = null; });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom = Math.min(6, Math.max(0.5, this.zoom * Math.exp(-event.deltaY / 600)));
      this.draw();
    }, {passive: false});
    canvas.addEventListener("keydown", (event) => {
      const step = {ArrowLeft: [-0.15, 0], ArrowRight: [0.15, 0], ArrowUp: [0, -0.15], ArrowDown: [0, 0.15]}[event.key];
      if (step) { event.preventDefault(); event.stopPropagation(); this.turn(...step); }
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
    darkness.addEventListener("change", () => this.draw());
  }

  show(detail, table) {
    this.cell = detail?.lattice ? drawnCell(detail, table) : null;
    this.view = START;
    this.zoom = 1;
    this.draw();
  }

  turn(right, up) {
    this.view = turned(this.view, right, up);
    this.draw();
  }

  draw() {
    const {canvas, cell, view} = this;
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    canvas.width = width * scale;
    canvas.height = height * scale;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    if (!cell) {
      pen.fillStyle = color("soft");
      pen.font = "15px sans-serif";
      pen.textAlign = "center";
      pen.fillText("no structure here", width / 2, height / 2);
      return;
    }
    const unit = (0.46 * Math.min(width, height) * this.zoom) / cell.size;
    const seen = (at) => {
      const [x, y, z] = view.map((row) => row[0] * at[0] + row[1] * at[1] + row[2] * at[2]);
      return [width / 2 + x * unit, height / 2 - y * unit, z];
    };
    const things = [];
    for (const [from, to] of cell.edges) {
      const [p, q] = [seen(from), seen(to)];
      things.push([(p[2] + q[2]) / 2 - 0.05, () => line(pen, p, q, color("soft"), 1)]);
    }
    for (const half of cell.bonds.flat()) {
      const [p, q] = [seen(half.from), seen(half.to)];
      things.push([(p[2] + q[2]) / 2, () => line(pen, p, q, half.color, Math.max(2, 0.16 * unit))]);
    }
    for (const atom of cell.atoms) {
      const at = seen(atom.at);
      things.push([at[2], () => ball(pen, at, atom.radius * ATOM * unit, atom.color)]);
    }
    things.sort((one, other) => one[0] - other[0]).forEach(([, paint]) => paint());
    pen.fillStyle = color("ink");
    pen.font = "italic 14px serif";
    for (const {name, at} of cell.axes) {
      const [x, y] = seen(at.map((k) => k * 1.03));
      pen.fillText(name, x + 6, y - 6);
    }
  }
}

function line(pen, from, to, ink, wide) {
  pen.strokeStyle = ink;
  pen.lineWidth = wide;
  pen.lineCap = "round";
  pen.beginPath();
  pen.moveTo(from[0], from[1]);
  pen.lineTo(to[0], to[1]);
  pen.stroke();
}

function ball(pen, [x, y], radius, ink) {
  const light = pen.createRadialGradient(x - radius / 3, y - radius / 3, radius / 10, x, y, radius);
  light.addColorStop(0, mixed(ink, 255, 0.75));
  light.addColorStop(0.45, ink);
  light.addColorStop(1, mixed(ink, 0, 0.45));
  pen.fillStyle = light;
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.fill();
}

/** A colour moved towards black (0) or white (255). */
function mixed(hex, end, share) {
  const parts = [1, 3, 5].map((k) => parseInt(hex.slice(k, k + 2), 16));
  return `rgb(${parts.map((part) => Math.round(part + (end - part) * share)).join(",")})`;
}
