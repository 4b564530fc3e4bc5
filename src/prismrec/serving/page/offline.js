"use strict";
// Answers of a file that `prismrec page` wrote, to questions whose answers it does not hold. They are computed as the
// server computes them, but among the items of the file alone.

const offlineAnswer = (() => {
  function matrix(text, width) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const numbers = new Float32Array(bytes.buffer);
    return Array.from({ length: numbers.length / width }, (_, row) => numbers.subarray(row * width, (row + 1) * width));
  }

  function unpack(set) {
    set.vectors = matrix(set.vectors, set.width);
    set.maps = matrix(set.maps, set.width);
    const users = matrix(set.userVectors, set.width);
    set.users.forEach((user, row) => { user.vector = users[row]; });
    set.byItem = new Map(set.items.map((each, number) => [each.item, number]));
    set.byUser = new Map(set.users.map((each) => [each.user, each]));
    set.ready = true;
  }

  function dot(a, b) {
    let sum = 0;
    for (let place = 0; place < a.length; place++) sum += a[place] * b[place];
    return sum;
  }

  const numbersOf = (set, ids) => ids.filter((id) => set.byItem.has(id)).map((id) => set.byItem.get(id));
  const notHere = (what) => new Error(`This file holds a fixed set of users and items, and not ${what}.`);

  // |h|^-power Σ P_i over the history h
  function embed(set, history) {
    const vector = new Float64Array(set.width);
    for (const number of history) set.maps[number].forEach((value, place) => { vector[place] += value; });
    const factor = Math.max(history.length, 1) ** -set.power;
    return vector.map((value) => factor * value);
  }

  // ---- Search ----

  const fold = (text) => text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();

  const searched = (text) => ` ${fold(text).replace(/\s+/g, " ")}`;

  function found(texts, weights, query) {
    const words = fold(query).split(/\s+/).filter(Boolean);
    const rows = texts.map((text, row) => ({ row, text }));
    return rows.filter(({ text }) => words.every((word) => text.includes(word)))
      .map(({ row, text }) => ({ row, begins: words.every((word) => text.includes(` ${word}`)), weight: weights[row] }))
      .sort((a, b) => b.begins - a.begins || b.weight - a.weight || a.row - b.row).map(({ row }) => row);
  }

  function search(set, title, { q, kind = "both", limit = 10 }) {
    set.itemTexts ??= set.items.map((each) => searched(`${(title && each.fields[title]) || ""} ${each.item}`));
    set.userTexts ??= set.users.map((each) => searched(each.user));
    const items = kind === "users" ? [] : found(set.itemTexts, set.items.map((each) => each.clicks), q);
    const users = kind === "items" ? [] : found(set.userTexts, set.users.map((each) => each.clicks), q);
    return {
      items: items.slice(0, limit).map((row) => ({ item: set.items[row].item, fields: set.items[row].fields })),
      users: users.slice(0, limit).map((row) => ({ user: set.users[row].user, clicks: set.users[row].clicks })),
    };
  }

  // ---- Conditions: the part of SQL that people type ----

  const TOKEN = /\s*(?:(\d+(?:\.\d*)?(?:e[+-]?\d+)?|\.\d+)|'((?:[^']|'')*)'|"((?:[^"]|"")*)"|([\p{L}_][\p{L}\p{N}_]*)|(<=|>=|<>|!=|==|[=<>()+*\/,-]))/iuy;
  const wrong = (text, reason) => new Error(`where: found '${text}' (${reason}); expected comparisons with =, <, >, in, between, like and is null, joined by and, or and not`);

  function parse(text, columns) {
    const tokens = [];
    TOKEN.lastIndex = 0;
    while (text.slice(TOKEN.lastIndex).trim()) {
      const at = TOKEN.lastIndex, match = TOKEN.exec(text);
      if (!match) throw wrong(text, `'${text.slice(at).trim()[0]}'`);
      const [, number, string, quoted, word, sign] = match;
      if (number !== undefined) tokens.push({ value: Number(number) });
      else if (string !== undefined) tokens.push({ value: string.replaceAll("''", "'") });
      else if (quoted !== undefined) tokens.push({ column: quoted.replaceAll('""', '"') });
      else if (word !== undefined) tokens.push({ word: word.toLowerCase(), column: word });
      else tokens.push({ sign });
    }
    let next = 0;
    const is = (kind) => tokens[next]?.word === kind || tokens[next]?.sign === kind;
    const take = (...kinds) => (kinds.some(is) ? tokens[next++].sign || tokens[next - 1].word : null);
    const need = (kind) => { if (!take(kind)) throw wrong(text, `no '${kind}' where it is needed`); };

    function atom() {
      if (take("(")) { const inner = either(); need(")"); return inner; }
      if (take("-")) { const inner = atom(); return (row) => (inner(row) === null ? null : -inner(row)); }
      if (take("true")) return () => true;
      if (take("false")) return () => false;
      if (take("null")) return () => null;
      const token = tokens[next++];
      if (token?.value !== undefined) return () => token.value;
      if (token?.column === undefined) throw wrong(text, "something is missing");
      if (!columns.includes(token.column)) throw new Error(`where: found column '${token.column}' in '${text}'; expected columns of the item table: ${columns.join(", ")}`);
      const read = (row) => row.typed[token.column] ?? row.fields[token.column] ?? null;
      read.text = (row) => row.fields[token.column] ?? row.typed[token.column] ?? null;
      return read;
    }
    const both = (a, b, combine) => (row) => {
      const [x, y] = [a(row), b(row)];
      return x === null || y === null ? null : combine(x, y);
    };
    function chain(inner, signs) {
      return () => {
        let left = inner();
        for (let sign = take(...Object.keys(signs)); sign; sign = take(...Object.keys(signs))) left = both(left, inner(), signs[sign]);
        return left;
      };
    }
    const product = chain(atom, { "*": (x, y) => x * y, "/": (x, y) => x / y });
    const sum = chain(product, { "+": (x, y) => x + y, "-": (x, y) => x - y });
    const compared = (a, b, compare) => (row) => {
      let [x, y] = [a(row), b(row)];
      if (x === null || y === null) return null;
      if (typeof x !== typeof y) [x, y] = [a.text ? a.text(row) : x, b.text ? b.text(row) : y];
      if (typeof x !== typeof y) throw wrong(text, `${typeof x} beside ${typeof y}`);
      return compare(x, y);
    };
    const COMPARE = {
      "=": (x, y) => x === y, "==": (x, y) => x === y, "!=": (x, y) => x !== y, "<>": (x, y) => x !== y,
      "<": (x, y) => x < y, "<=": (x, y) => x <= y, ">": (x, y) => x > y, ">=": (x, y) => x >= y,
    };
    const and = (a, b) => (row) => { const [x, y] = [a(row), b(row)]; return x === false || y === false ? false : x === null || y === null ? null : true; };
    const or = (a, b) => (row) => { const [x, y] = [a(row), b(row)]; return x === true || y === true ? true : x === null || y === null ? null : false; };
    const not = (a) => (row) => (a(row) === null ? null : !a(row));

    function predicate() {
      const left = sum();
      const sign = take(...Object.keys(COMPARE));
      if (sign) return compared(left, sum(), COMPARE[sign]);
      if (take("is")) {
        const negated = take("not");
        need("null");
        return (row) => (left(row) === null) !== Boolean(negated);
      }
      const turn = take("not") ? not : (a) => a;
      if (take("between")) {
        const low = sum();
        need("and");
        return turn(and(compared(left, low, COMPARE[">="]), compared(left, sum(), COMPARE["<="])));
      }
      if (take("in")) {
        need("(");
        let any = compared(left, sum(), COMPARE["="]);
        while (take(",")) any = or(any, compared(left, sum(), COMPARE["="]));
        need(")");
        return turn(any);
      }
      const like = take("like", "ilike");
      if (like) {
        const pattern = sum();
        return turn((row) => {
          const [x, y] = [left.text ? left.text(row) : left(row), pattern(row)];
          if (x === null || x === undefined || y === null) return null;
          const source = String(y).replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("%", ".*").replaceAll("_", ".");
          return new RegExp(`^${source}$`, like === "ilike" ? "isu" : "su").test(String(x));
        });
      }
      return left;
    }
    function negation() { return take("not") ? not(negation()) : predicate(); }
    function all() { let left = negation(); while (take("and")) left = and(left, negation()); return left; }
    function either() { let left = all(); while (take("or")) left = or(left, all()); return left; }

    const condition = either();
    if (next < tokens.length) throw wrong(text, "more than one condition");
    return (row) => {
      const value = condition(row);
      if (value !== null && typeof value !== "boolean") throw wrong(text, "neither true nor false");
      return value === true;
    };
  }

  // ---- Lists, as prismrec.retrieval.compose makes them ----

  function compose(set, scores, rows, body) {
    const best = rows.sort((a, b) => scores[b] - scores[a] || a - b);
    const limits = Object.entries(body.at_most || {});
    const diversity = body.diversity || 0;
    for (let reach = diversity ? 10 * body.k : 2 * body.k; ; reach *= 8) {
      const pool = best.slice(0, reach);
      const chosen = choose(set, scores, pool, body.k, limits, diversity);
      if (chosen.length === body.k || pool.length === best.length) return chosen;
    }
  }

  function choose(set, scores, pool, k, limits, diversity) {
    const values = pool.map((row) => scores[row]);
    const low = Math.min(...values), span = Math.max(...values) - low || 1;
    const closest = new Map(pool.map((row) => [row, -1]));
    const free = new Set(pool), counts = limits.map(() => new Map()), chosen = [];
    while (chosen.length < k && free.size) {
      let best = null, most = -Infinity;
      for (const row of free) {
        const value = diversity ? (1 - diversity) * ((scores[row] - low) / span) - diversity * closest.get(row) : scores[row];
        if (value > most) [best, most] = [row, value];
      }
      free.delete(best);
      chosen.push(best);
      limits.forEach(([column, limit], place) => {
        const value = set.items[best].fields[column];
        if (value === null || value === undefined) return;
        counts[place].set(value, (counts[place].get(value) || 0) + 1);
        if (counts[place].get(value) >= limit) for (const row of free) if (set.items[row].fields[column] === value) free.delete(row);
      });
      if (diversity) for (const row of free) closest.set(row, Math.max(closest.get(row), cosine(set, best, row)));
    }
    return chosen;
  }

  function cosine(set, a, b) {
    const length = (row) => (set.items[row].length ??= Math.sqrt(dot(set.vectors[row], set.vectors[row])) || 1);
    return dot(set.vectors[a], set.vectors[b]) / (length(a) * length(b));
  }

  function list(set, scores, hidden, body, popular = false) {
    const passes = body.where ? parse(body.where, ["item_id", ...set.columns]) : () => true;
    const rows = set.items.map((_, row) => row).filter((row) => !hidden.has(row) && passes(set.items[row]));
    const chosen = compose(set, scores, rows, body);
    const items = chosen.map((row) => ({ item: set.items[row].item, score: scores[row], fields: set.items[row].fields }));
    return { items, popular, shorter: items.length < body.k };
  }

  function recommend(set, body) {
    const lists = (body.users || body.histories).map((asked) => {
      const user = body.users ? set.byUser.get(asked) : null;
      if (body.users && !user) throw notHere("this user");
      const history = numbersOf(set, user ? user.seen : asked);
      const popular = user ? !user.trained : !history.length;
      const vector = user ? user.vector : embed(set, history);
      const scores = set.items.map((each, row) => (popular ? each.clicks : dot(set.vectors[row], vector)));
      return list(set, scores, new Set(body.seen ? [] : history), body, popular);
    });
    return { lists, ignored: [], within: set.items.length };
  }

  function similar(set, body) {
    if (body.by && body.by !== "model") throw notHere(`the ${body.by} features of this item`);
    const lists = body.items.map((id) => {
      const [row] = numbersOf(set, [id]);
      if (row === undefined) throw notHere("this item");
      return list(set, set.items.map((_, other) => cosine(set, row, other)), new Set([row]), body);
    });
    return { lists, within: set.items.length };
  }

  function explain(set, body) {
    const user = body.user ? set.byUser.get(body.user) : null;
    const history = numbersOf(set, user ? user.train : body.history);
    const whole = embed(set, history), factor = Math.max(history.length, 1) ** -set.power;
    const reasons = numbersOf(set, body.items).flatMap((target) => {
      const score = dot(set.vectors[target], user ? user.vector : whole);
      const rows = history.map((clicked) => {
        const contribution = factor * dot(set.vectors[target], set.maps[clicked]);
        return { item: set.items[target].item, clicked: set.items[clicked].item, contribution, share: score > 0 ? contribution / score : null, alike: null, cosines: {} };
      });
      return rows.sort((a, b) => b.contribution - a.contribution).slice(0, body.k);
    });
    return { exact: !user, reasons };
  }

  function item(set, { id }) {
    const [row] = numbersOf(set, [id]);
    if (row === undefined) throw notHere("this item");
    const { fields, clicks } = set.items[row];
    return { item: id, fields, clicks, picture: false, alike: [] };
  }

  return (file, path, query, body) => {
    if (!file.set.ready) unpack(file.set);
    if (path === "search") return search(file.set, file.answers["api/run"].title, query);
    if (path === "recommend") return recommend(file.set, body);
    if (path === "similar") return similar(file.set, body);
    if (path === "explain") return explain(file.set, body);
    if (path === "item") return item(file.set, query);
    throw notHere("this user");
  };
})();
