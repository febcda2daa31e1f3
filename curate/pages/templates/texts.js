// The texts that the page holds, ranked by the words of a question: BM25, as `crysmmnet search` has it without an encoder.

const [SATURATION, BY_LENGTH] = [1.5, 0.75];
const texts = {index: null, weights: null, replaced: []};

/** A word as it is compared: symbols and formulas as they are, others without case, plural, endings of shapes. */
function stem(word) {
  const letters = word.replaceAll("-", "");
  if (word.length < 3 || !/^\p{L}+$/u.test(letters) || letters.slice(1) !== letters.slice(1).toLowerCase()) return word;
  const plain = word.toLowerCase().replace(/hedr(?:a|al|on|ons|ally)$/, "hedr");
  if (plain.startsWith("pyramid")) return "pyramid";
  return plain.length > 3 && plain.endsWith("s") && !plain.endsWith("ss") ? plain.slice(0, -1) : plain;
}

function wordsOf(text) {
  const bare = text.replace(/\(\d+\)/g, " ").replace(/(^|\. )In (?=the\b|each\b|one\b|two\b|three\b|four\b|five\b)/g, "$1");
  return (bare.match(/[\p{L}\p{N}_]+(?:[./+-][\p{L}\p{N}_]+)*/gu) ?? []).filter((word) => !/^\d+$/.test(word)).flatMap((word) => {
    const whole = stem(word);
    return /^[a-z]+(-[a-z]+)+$/.test(whole) ? [whole, ...whole.split("-").map(stem)] : [whole];
  });
}

const sentencesOf = (text) => text.trim().split(/(?<=[.])\s+(?=[A-Z])/).filter(Boolean);

/** The words of every text that the page holds, counted when the first question is asked. */
async function countWords() {
  const {rows} = table.packed;
  const [found, lengths, held] = [new Map(), new Map(), new Map()];
  for (const [row, place] of rows.detail.entries()) {
    const text = (await packedOne("details", place))?.text;
    if (!text) continue;
    const words = wordsOf(text);
    held.set(row, text);
    lengths.set(row, words.length);
    for (const word of words) {
      if (!found.has(word)) found.set(word, new Map());
      found.get(word).set(row, (found.get(word).get(row) ?? 0) + 1);
    }
  }
  const mean = [...lengths.values()].reduce((sum, n) => sum + n, 0) / Math.max(lengths.size, 1);
  return {found, lengths, mean, held, vocabulary: await unpacked("vocabulary")};
}

/** A question in the words of the texts; what is replaced is kept, to be said. */
function translated(question, vocabulary) {
  const known = new Map(Object.entries(vocabulary));
  texts.replaced = [];
  return question.replace(/(?<![\w./+(-])[A-Za-z0-9]+(?:-[A-Za-z]+)*(?![\w/+]|[.-]\w)/g, (word) => {
    const other = known.get(word.toLowerCase()) ?? known.get(word.toLowerCase().replace(/s$/, ""));
    if (other) texts.replaced.push(`${word} as ${other}`);
    return other ?? word;
  });
}

/** The score of each row that holds a word of the question; null where nothing is asked. */
async function scored(question) {
  if (!question.trim()) return null;
  texts.index ??= countWords();
  const {found, lengths, mean, vocabulary} = await texts.index;
  const words = new Set(wordsOf(translated(question, vocabulary)));
  const scores = new Map();
  texts.weights = new Map();
  for (const word of words) {
    const having = found.get(word);
    if (!having) continue;
    const rarity = Math.log1p((lengths.size - having.size + 0.5) / (having.size + 0.5));
    texts.weights.set(word, rarity);
    for (const [row, n] of having) {
      const part = n * (SATURATION + 1) / (n + SATURATION * (1 - BY_LENGTH + BY_LENGTH * lengths.get(row) / mean));
      scores.set(row, (scores.get(row) ?? 0) + rarity * part);
    }
  }
  texts.held = (await texts.index).held;
  return scores;
}

/** The sentence of a row's text that holds most of the question's words. */
function bestSentence(row) {
  const sentences = sentencesOf(texts.held.get(row) ?? "");
  const weight = (sentence) => [...new Set(wordsOf(sentence))].reduce((sum, word) => sum + (texts.weights.get(word) ?? 0), 0);
  const weights = sentences.map(weight);
  return sentences[weights.indexOf(Math.max(...weights))] ?? "";
}
