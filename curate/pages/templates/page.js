"use strict";
// Packed data in, values out; the names of the page's parts.

const $ = (id) => document.getElementById(id);

/** The text of a packed part of the page. */
async function unpackedText(name) {
  const packed = atob($("data-" + name).textContent);
  const bytes = new Uint8Array(packed.length);
  for (let n = 0; n < packed.length; n++) bytes[n] = packed.charCodeAt(n);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

const unpacked = async (name) => JSON.parse(await unpackedText(name));

/** An element with a text; texts of the dataset never become markup. */
function made(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined && text !== null) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

const color = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();

const darkness = matchMedia("(prefers-color-scheme: dark)");

/** A number with no more digits than it needs. */
function shown(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return (value + 0).toLocaleString("en"); // + 0: no -0
  const size = Math.abs(value);
  return size >= 1e6 || size < 1e-4 ? value.toExponential(digits - 1) : String(Number(value.toPrecision(digits)));
}
