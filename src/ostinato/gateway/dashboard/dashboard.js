// What a gateway answered, what it paid and what it did not have to pay. Every figure comes from its own API.
import { html, render, useCallback, useEffect, useRef, useState } from "./vendor/htm-preact.js";

const KEPT = "ostinato-key";
const PERIODS = { "1": "today", "7": "7 days", "30": "30 days", "365": "a year" };
const PARTS = { model: "model", key_id: "key", tenant: "tenant" };

class Refused extends Error {}

async function ask(path, body) {
  const key = sessionStorage.getItem(KEPT);
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  const options = { headers };
  if (body !== undefined) {
    options.method = "POST";
    options.headers = { ...headers, "content-type": "application/json" };
    options.body = JSON.stringify(body);
  }
  const answer = await fetch(path, options);
  const said = await answer.json().catch(() => ({}));
  if (answer.status === 401 || answer.status === 403) throw new Refused(said.error?.message ?? "this key may not look");
  if (!answer.ok) throw new Error(said.error?.message ?? `${path}: ${answer.status}`);
  return said;
}

const DAYS = [1, 2, 7, 14, 28, 56].map((days) => days * 86400);
const dayOf = (at) => new Date(at * 1000).toISOString().slice(5, 10);
const count = (number) => number.toLocaleString("en");
const share = (part, whole) => (whole ? `${((100 * part) / whole).toFixed(1)} %` : "–");

function dollars(amount) {
  const number = Number(amount);
  const digits = number !== 0 && Math.abs(number) < 1 ? 4 : 2;
  return `${number < 0 ? "−" : ""}$${Math.abs(number).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

function since(days) {
  const day = new Date(Date.now() - (days - 1) * 86400000);
  return day.toISOString().slice(0, 10);
}

/** One row for each of the last days, also for those on which nothing was asked. */
function daily(rows, length) {
  const known = new Map(rows.map((row) => [row.day, row]));
  return Array.from({ length }, (_, index) => since(length - index)).map((day) => known.get(day) ?? { day });
}

function Login({ why, enter }) {
  const submit = (event) => {
    event.preventDefault();
    sessionStorage.setItem(KEPT, new FormData(event.target).get("key"));
    enter();
  };
  return html`<form class="login" onSubmit=${submit}>
    <h1>ostinato</h1>
    <label>Master key <input name="key" type="password" autocomplete="off" autofocus required /></label>
    <button>Look</button>
    <p class="wrong" role="alert">${why}</p>
  </form>`;
}

function Choice({ label, of, chosen, choose }) {
  return html`<span class="choice" role="group" aria-label=${label}>
    ${Object.entries(of).map(
      ([value, name]) =>
        html`<button type="button" aria-pressed=${value === chosen} onClick=${() => choose(value)}>${name}</button>`,
    )}
  </span>`;
}

function Card({ kind = "", name, children }) {
  return html`<div class=${`card ${kind}`}><b>${children}</b><span class="quiet">${name}</span></div>`;
}

function Cards({ total }) {
  const answered = total.calls - total.errors;
  return html`<section class="cards" aria-label="In all">
    <${Card} name="calls">${count(total.calls)}<//>
    <${Card} name="answered without asking">${share(total.hits + total.shared, answered)}<//>
    <${Card} kind="paid" name="paid">${dollars(total.cost_usd)}<//>
    <${Card} kind="saved" name="saved by the response cache">${dollars(total.saved_usd)}<//>
    <${Card} kind="prompt" name="saved by prompt caches">${dollars(total.prompt_saved_usd)}<//>
    <${Card} name="errors">${count(total.errors)}<//>
  </section>`;
}

function Chart({ days }) {
  const place = useRef();
  useEffect(() => {
    if (!place.current) return undefined;
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 } };
    const told = (tell) => (_, value) => (value === null || value === undefined ? "–" : tell(value));
    const line = (label, name) => ({
      label, stroke: colour(name), width: 2, points: { show: days.length < 32 }, value: told(dollars),
    });
    const chart = new uPlot(
      {
        width: place.current.clientWidth,
        height: 240,
        scales: { x: { time: true } },
        tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
        axes: [{ ...axis, incrs: DAYS, values: (_, at) => at.map(dayOf) }, { ...axis, size: 70, values: (_, values) => values.map(dollars) }],
        series: [{ label: "day", value: told(dayOf) }, line("paid", "--paid"), line("response cache saved", "--saved"), line("prompt caches saved", "--prompt")],
      },
      [
        days.map((row) => Date.parse(row.day) / 1000),
        ...["cost_usd", "saved_usd", "prompt_saved_usd"].map((name) => days.map((row) => Number(row[name] ?? 0))),
      ],
      place.current,
    );
    const fit = () => chart.setSize({ width: place.current.clientWidth, height: 240 });
    addEventListener("resize", fit);
    return () => {
      removeEventListener("resize", fit);
      chart.destroy();
    };
  }, [days]);
  return html`<div ref=${place} role="img" aria-label=${`Paid and saved, ${days[0].day} to ${days.at(-1).day}`}></div>`;
}

function Spend({ days: length }) {
  const [part, choose] = useState("model");
  const [rows, setRows] = useState([]);
  useEffect(() => {
    ask(`spend?by=${part}&since=${since(length)}`).then((said) => setRows(said.data), () => setRows([]));
  }, [part, length]);
  const sorted = [...rows].sort((one, other) => Number(other.cost_usd) - Number(one.cost_usd));
  return html`<section>
    <h2>Where it went <${Choice} label="Summed by" of=${PARTS} chosen=${part} choose=${choose} /></h2>
    <div class="scroll"><table>
      <thead><tr><th>${PARTS[part]}</th><th>calls</th><th>hits</th><th>prompt read</th><th>prompt</th><th>output</th><th>paid</th><th>saved</th></tr></thead>
      <tbody>${sorted.map(
        (row) => html`<tr key=${row[part]}>
          <td>${row[part] || "(master key)"}</td><td>${count(row.calls)}</td><td>${share(row.hits + row.shared, row.calls)}</td>
          <td>${share(row.read, row.uncached + row.read + row.written)}</td>
          <td>${count(row.uncached + row.read + row.written)}</td><td>${count(row.output)}</td>
          <td>${dollars(row.cost_usd)}${row.unpriced ? html`<span class="wrong" title=${`${row.unpriced} calls at an unknown price`}> +?</span>` : ""}</td>
          <td>${dollars(row.saved_usd)}</td>
        </tr>`,
      )}</tbody>
    </table></div>
    ${rows.length === 0 && html`<p class="quiet">Nothing was asked in this time.</p>`}
  </section>`;
}

function Keys() {
  const [keys, setKeys] = useState([]);
  const [secret, setSecret] = useState("");
  const [wrong, setWrong] = useState("");
  const load = useCallback(() => ask("key/list").then((said) => setKeys(said.keys), (error) => setWrong(error.message)), []);
  useEffect(() => void load(), []);
  const create = async (event) => {
    event.preventDefault();
    const form = event.target;
    const said = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
    if (said.models) said.models = said.models.split(",").map((name) => name.trim());
    for (const name of ["budget_usd", "rpm"]) if (said[name]) said[name] = Number(said[name]);
    try {
      setSecret((await ask("key/generate", said)).key);
      setWrong("");
      form.reset();
    } catch (error) {
      setWrong(error.message);
    }
    load();
  };
  const revoke = (id) => confirm(`Revoke ${id}?`) && ask("key/revoke", { id }).then(load, (error) => setWrong(error.message));
  const bound = (value, unit = "") => (value === undefined || value === null ? "–" : `${value}${unit}`);
  return html`<section>
    <h2>Keys</h2>
    ${secret && html`<p>The new key, shown once: <code class="secret">${secret}</code></p>`}
    <p class="wrong" role="alert">${wrong}</p>
    <div class="scroll"><table>
      <thead><tr><th>key</th><th class="text">name</th><th class="text">tenant</th><th class="text">models</th><th>budget</th><th>calls a minute</th><th></th></tr></thead>
      <tbody>${keys.map(
        (key) => html`<tr key=${key.id}>
          <td>${key.id}</td><td class="text">${key.name}</td><td class="text">${key.tenant}</td>
          <td class="text">${key.models ? key.models.join(", ") : "all"}</td>
          <td>${key.budget_usd === undefined ? "–" : dollars(key.budget_usd)}</td><td>${bound(key.rpm)}</td>
          <td>${key.revoked ? html`<span class="quiet">revoked</span>` : html`<button onClick=${() => revoke(key.id)}>Revoke</button>`}</td>
        </tr>`,
      )}</tbody>
    </table></div>
    <form class="row" onSubmit=${create} aria-label="New key">
      <label>id <input name="id" required pattern="[A-Za-z0-9._\\-]{1,64}" /></label>
      <label>name <input name="name" /></label>
      <label>tenant <input name="tenant" /></label>
      <label>models <input name="models" placeholder="all" /></label>
      <label>budget, $ <input name="budget_usd" type="number" min="0" step="any" /></label>
      <label>calls a minute <input name="rpm" type="number" min="1" /></label>
      <button>Create</button>
    </form>
  </section>`;
}

const ALWAYS = new Set(["hits", "misses", "stored"]);

function Cache() {
  const [stats, setStats] = useState(null);
  useEffect(() => void ask("cache/stats").then(setStats, () => setStats(null)), []);
  if (!stats) return "";
  const { workers, ...counts } = stats;
  const shown = Object.entries(counts).filter(([name, value]) => typeof value === "number" && (value || ALWAYS.has(name)));
  return html`<section aria-label="Response cache">
    <h2>Response cache${workers > 1 && ` of ${workers} workers`}</h2>
    <div class="cards">${shown.map(([name, value]) => html`<${Card} key=${name} name=${name.replaceAll("_", " ")}>${count(value)}<//>`)}</div>
  </section>`;
}

function Page() {
  const [length, setLength] = useState("7");
  const [days, setDays] = useState(null);
  const [total, setTotal] = useState(null);
  const [refused, setRefused] = useState(null);
  const [wrong, setWrong] = useState("");
  const load = useCallback(async () => {
    try {
      const from = since(Number(length));
      const [all, rows] = await Promise.all([ask(`spend?by=&since=${from}`), ask(`spend?by=day&since=${from}`)]);
      setTotal(all.data[0]);
      setDays(daily(rows.data, Number(length)));
      setRefused(null);
      setWrong("");
    } catch (error) {
      if (error instanceof Refused) setRefused(sessionStorage.getItem(KEPT) ? error.message : "");
      else setWrong(error.message);
    }
  }, [length]);
  useEffect(() => {
    load();
    const every = setInterval(load, 10000);
    return () => clearInterval(every);
  }, [load]);
  if (refused !== null) return html`<${Login} why=${refused} enter=${load} />`;
  return html`
    <header>
      <h1>ostinato</h1>
      <${Choice} label="How long" of=${PERIODS} chosen=${length} choose=${setLength} />
    </header>
    <p class="wrong" role="alert">${wrong}</p>
    ${total && html`<${Cards} total=${total} />`}
    ${days && days.length > 1 && html`<${Chart} days=${days} />`}
    ${total && html`<${Spend} days=${Number(length)} /><${Keys} /><${Cache} />`}
  `;
}

render(html`<${Page} />`, document.getElementById("page"));
