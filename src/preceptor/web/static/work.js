"use strict";
/* The annotators' page: keys, the next item fetched ahead, answers that are kept here until the server has them.
   The server renders every item and reads every form; this script moves fragments and fields, and knows no kind's answers
   but for passages, which can't be marked without it. */
(() => {
  const desk = document.querySelector("#desk");
  if (!desk) return;
  const find = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];
  document.documentElement.classList.add("js");

  // What is kept in the browser, of this person in this project

  const PLACE = `preceptor/${desk.dataset.project}/${desk.dataset.annotator}/`;
  const memory = new Map(); // where the browser keeps nothing
  const store = {
    get(name) { try { return JSON.parse(localStorage.getItem(PLACE + name)) ?? memory.get(name); } catch { return memory.get(name); } },
    set(name, value) { memory.set(name, value); try { localStorage.setItem(PLACE + name, JSON.stringify(value)); } catch { /* in memory then */ } },
    drop(name) { memory.delete(name); try { localStorage.removeItem(PLACE + name); } catch { /* it was in memory */ } },
    names(begin) {
      let kept = [];
      try { kept = Object.keys(localStorage).filter((name) => name.startsWith(PLACE + begin)).map((name) => name.slice(PLACE.length)); } catch { /* none */ }
      return [...new Set([...kept, ...[...memory.keys()].filter((name) => name.startsWith(begin))])];
    },
  };
  const waiting = () => store.names("send/").map((name) => store.get(name)).filter(Boolean).sort((a, b) => a.at - b.at);
  const drop = (entry) => store.drop(`send/${entry.key}`);
  const newKey = (slot) => `${slot}-${Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("")}`;

  // Words above the item

  function say(words, kind = "") {
    const line = document.createElement("p");
    line.className = kind || "quiet last";
    line.textContent = words;
    find("#notice").replaceChildren(line);
  }
  const sentence = (error) => `${error.message[0].toUpperCase()}${error.message.slice(1)}${error.hint ? `; ${error.hint}` : ""}`;
  function showWaiting(why = "") {
    const count = waiting().length, line = find("#waits");
    line.hidden = !count || !why;
    if (line.hidden) return;
    const words = count === 1 ? "1 answer waits" : `${count} answers wait`;
    line.textContent = why === "network" ? `${words} for the network. Nothing is lost: go on, or leave this page open.` : `${words}: you are signed out. `;
    if (why === "signed out") {
      const link = document.createElement("a");
      link.href = "/login?next=/work";
      link.textContent = "Sign in again, and they are sent.";
      line.append(link);
    }
  }

  // Sending: each answer is kept until the server has said that it has it

  let sending = null, inFlight = "", failures = 0, timer = 0;
  async function post(path, fields) {
    const body = new URLSearchParams([...fields, ["csrf", desk.dataset.csrf]]);
    const signal = AbortSignal.timeout ? AbortSignal.timeout(20000) : undefined;
    return fetch(path, { method: "POST", headers: { Accept: "application/json" }, body, signal });
  }
  async function send(entry) {
    let response;
    inFlight = entry.key;
    try { response = await post(entry.path, entry.fields); } catch { return "network"; } finally { inFlight = ""; }
    if (response.status === 401 || response.status === 403) return "signed out";
    if (response.status >= 500 || response.status === 429 || response.status === 408) return "network";
    const said = await response.json().catch(() => ({}));
    if (response.ok) accepted(entry, said);
    else refused(entry, said.error ?? { message: "the server refused this answer", hint: "", field: "" }, response.status);
    return "";
  }
  function flush() {
    clearTimeout(timer);
    sending ??= (async () => {
      let why = "";
      for (let entry = waiting()[0]; entry && !why; entry = waiting()[0]) why = await send(entry);
      failures = why ? failures + 1 : 0;
      showWaiting(why);
      if (why) timer = setTimeout(flush, why === "network" ? Math.min(1000 * 2 ** (failures - 1), 30000) : 15000);
      return why;
    })().finally(() => { sending = null; });
    return sending;
  }
  function accepted(entry, said) {
    drop(entry);
    store.drop(`draft/${entry.slot}`);
    if (!said.judgment) return;
    const past = history.find((each) => each.key === entry.key);
    if (past) past.judgment = said.judgment;
    try { sessionStorage.setItem(`${PLACE}last`, JSON.stringify({ slot: entry.slot, judgment: said.judgment })); } catch { /* no undo after a reload */ }
    const today = find("#today");
    if (today) today.textContent = Number(today.textContent) + 1;
    if (said.notice && said.notice.includes("notice")) find("#notice").innerHTML = said.notice; // our own template, escaped there
    showUndo();
  }
  async function refused(entry, error, status) {
    if (entry.path === "/work" && status !== 409) store.set(`draft/${entry.slot}`, entry.fields);
    drop(entry);
    const past = history.findIndex((each) => each.key === entry.key), node = past >= 0 ? history.splice(past, 1)[0].node : null;
    if (status === 409 || entry.path !== "/work" || desk.hasAttribute("data-done")) {
      say(`An answer wasn't taken. ${sentence(error)}.`, "fault");
      find("#notice p").setAttribute("role", "alert");
      return;
    }
    await bringBack(entry.slot, node);
    complain(error.field, sentence(error));
  }

  // Items: one is shown, one is ahead

  let current = null, ahead = [], fetching = null;
  const history = []; // what was answered here: {slot, key, node, judgment}
  const slotOf = (node) => node?.dataset.slot ?? "0";
  async function fetchItem(query) {
    const response = await fetch(`/work/item?${new URLSearchParams(query)}`);
    if (response.status === 204) return null;
    if (response.status === 409) return null;
    const page = response.ok ? new DOMParser().parseFromString(await response.text(), "text/html") : null;
    const node = page && find("article.work", page);
    if (!node) throw new Error("no item came");
    return document.adoptNode(node);
  }
  function prefetch() {
    if (ahead.length || fetching || waiting().length || !current) return;
    const besides = slotOf(current);
    fetching = fetchItem({ besides })
      .then((node) => { if (node && slotOf(node) !== slotOf(current) && !ahead.length) ahead.push(node); })
      .catch(() => {})
      .finally(() => { fetching = null; });
  }
  async function advance() {
    if (fetching) await fetching;
    if (ahead.length) {
      show(ahead.shift());
      flush().then((why) => why || prefetch());
      return;
    }
    current = null;
    const line = document.createElement("section");
    line.className = "card narrow quiet";
    line.textContent = "Fetching the next item …";
    desk.replaceChildren(line);
    for (let tries = 0; current === null; tries += 1) {
      try {
        if (await flush()) throw new Error("answers wait");
        if (current !== null) return; // one was refused, and is shown again
        const node = await fetchItem({});
        if (node === null) { location.assign("/work"); return; }
        show(node);
        prefetch();
      } catch {
        line.textContent = "The network is gone. Your answers are kept in this browser; the next item comes when it is back.";
        await new Promise((resolve) => { setTimeout(resolve, Math.min(1000 * 2 ** tries, 15000)); addEventListener("online", resolve, { once: true }); });
      }
    }
  }
  async function bringBack(slot, node) {
    node ??= await fetchItem({ slot });
    if (!node) return;
    if (current && current !== node) ahead.unshift(current);
    node.querySelector("[name=key]").value = newKey(slot);
    show(node);
  }

  // The time an item was looked at: a hidden page doesn't count

  let seen = 0, since = null;
  const startClock = () => { seen = 0; since = document.hidden ? null : performance.now(); };
  const seconds = () => (seen + (since === null ? 0 : performance.now() - since)) / 1000;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden && since !== null) { seen += performance.now() - since; since = null; }
    else if (!document.hidden && since === null) since = performance.now();
  });

  function show(node) {
    current = node;
    desk.replaceChildren(node);
    if (!node.ready) setUp(node);
    const draft = store.get(`draft/${slotOf(node)}`);
    if (draft) fill(node, draft);
    follow(node);
    showUndo();
    startClock();
    scrollTo(0, 0);
    (find("textarea:not(.short)", node) ?? node).focus({ preventScroll: true });
  }
  function setUp(node) {
    node.ready = true;
    node.parts = [...all("[data-marking]", node).map(marking), ...all(".claims", node).map(claims(node))];
    node.keys = assignKeys(node);
    for (const button of all("[data-do=keys]", node)) button.hidden = false;
    const changed = () => { follow(node); quieten(node); store.set(`draft/${slotOf(node)}`, fieldsOf(node)); };
    find("form.answer", node).addEventListener("input", changed);
    find("form.answer", node).addEventListener("change", changed);
    find("form.answer", node).addEventListener("submit", (event) => { event.preventDefault(); submit(); });
    find("form.pass", node).addEventListener("submit", (event) => {
      event.preventDefault();
      pass(event.submitter?.value === "skip" ? "skip" : "flag");
    });
    // Enter in the reason means the button beside it, and not the first one of the form
    find("[name=reason]", node).addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); pass("flag"); } });
  }
  const OWN = new Set(["slot", "key", "started", "seconds", "csrf"]);
  const form = () => find("form.answer", current);
  const fieldsOf = (node) => [...new FormData(find("form.answer", node))].filter(([name]) => name !== "csrf");
  function fill(node, fields) {
    for (const input of find("form.answer", node).elements) {
      if (!input.name || OWN.has(input.name) || /\.(order|shown|from)$/.test(input.name)) continue;
      const given = fields.filter(([name]) => name === input.name).map(([, value]) => value);
      if (input.type === "radio" || input.type === "checkbox") input.checked = given.includes(input.value);
      else if (given.length) input.value = given[0];
    }
    for (const part of node.parts) part.refresh();
  }

  // Questions that are asked only after some answers

  function follow(node) {
    const [first, ...others] = all(".question", node);
    const said = all("input:checked", first).map((input) => input.value);
    const same = (a, b) => String(a) === b || (b !== "" && typeof a === "number" && a === Number(b));
    for (const question of others) {
      if (!question.dataset.after) continue;
      const asked = JSON.parse(question.dataset.after).some((answer) => said.some((value) => same(answer, value)));
      question.hidden = question.disabled = !asked;
    }
  }

  // Faults stand beside their field

  function complain(name, words) {
    const place = all("[data-fault]", current).find((each) => each.dataset.fault === name) ?? find("[data-fault='']", current);
    place.hidden = false;
    place.textContent = words;
    place.scrollIntoView({ block: "nearest" });
    const field = place.closest(".question");
    const first = field && find("input:not([type=hidden]), textarea, select, .markable", field);
    (first ?? current).focus({ preventScroll: true });
  }
  const quieten = (node) => { for (const line of all("[data-fault]", node)) line.hidden = true; };

  // What a person does

  function missing() {
    for (const question of all(".question:not([disabled])", current)) {
      const radios = all("input[type=radio][data-choice]", question);
      if (radios.length && !radios.some((radio) => radio.checked)) return question.dataset.question;
    }
    return null;
  }
  function submit() {
    const lacks = missing();
    if (lacks !== null) return complain(lacks, "Choose an answer");
    find("[name=seconds]", current).value = seconds().toFixed(2);
    const fields = fieldsOf(current), slot = slotOf(current), key = find("[name=key]", current).value;
    if (new Blob([new URLSearchParams(fields).toString()]).size > 1000000) return complain("", "This is too long: at most 1 MB can be sent at once");
    history.push({ slot, key, node: current, judgment: null });
    if (history.length > 20) history.shift();
    return go({ path: "/work", key, slot, fields });
  }
  function pass(kind) {
    const slot = slotOf(current), reason = find("[name=reason]", current).value;
    const fields = [["slot", slot], ["pass", kind], ["reason", kind === "flag" ? reason : ""]];
    go({ path: "/work/pass", key: newKey(slot), slot, fields });
    say(kind === "flag" ? "Flagged: the manager of the project sees it." : "Skipped.");
  }
  function go(entry) {
    store.set(`send/${entry.key}`, { ...entry, at: Date.now() });
    find("#notice").replaceChildren();
    return advance();
  }
  function lastAnswer() {
    if (history.length) return history[history.length - 1];
    try { return JSON.parse(sessionStorage.getItem(`${PLACE}last`)); } catch { return null; }
  }
  const showUndo = () => { for (const button of all("[data-do=undo]")) button.hidden = !lastAnswer(); };
  async function undo() {
    const last = lastAnswer();
    if (!last) return say("There is nothing to take back.");
    await flush();
    const left = waiting().find((entry) => entry.key === last.key);
    if (left && inFlight !== left.key) drop(left);
    else if (last.judgment) {
      const response = await post("/work/undo", [["judgment", last.judgment]]).catch(() => null);
      if (!response) return say("There is no network: the answer can be taken back later.", "fault");
      if (!response.ok) {
        try { sessionStorage.removeItem(`${PLACE}last`); } catch { /* nothing was kept */ }
        history.pop();
        showUndo();
        return say(sentence((await response.json().catch(() => ({}))).error ?? { message: "this answer can't be taken back" }), "fault");
      }
    } else return say("Your last answer isn't there any more.");
    history.pop();
    try { sessionStorage.removeItem(`${PLACE}last`); } catch { /* nothing was kept */ }
    await bringBack(last.slot, last.node);
    showWaiting(waiting().length ? "network" : "");
    return say("Your answer is taken back; answer anew.");
  }

  // Keys

  const LETTERS = [..."abcdehijklmnopqrvwxyz"]; // f, g, s, t and u have a meaning of their own
  function assignKeys(node) {
    const keys = new Map(), letters = [...LETTERS], digits = [..."123456789"];
    for (const [number, question] of all(".question", node).entries()) {
      for (const choice of all("[data-choice]", question)) {
        const own = choice.dataset.key;
        const key = own && !keys.has(own) && (number === 0 || own === "t") ? own : (number === 0 && digits.shift()) || letters.shift();
        if (!key) continue;
        keys.set(key, choice);
        const shown = find("kbd", choice.matches("button") ? choice : choice.closest(".option"));
        if (shown) shown.textContent = key;
      }
    }
    return keys;
  }
  function press(choice) {
    if (choice.closest("fieldset[disabled]")) return;
    if (choice.hasAttribute("data-place")) nextPlace(choice); // a focused list would take the next digit for itself
    else choice.click();
    if (choice.matches("input")) choice.focus({ preventScroll: true });
    choice.scrollIntoView({ block: "nearest" });
  }
  function nextPlace(select) {
    const places = all("[data-place]", select.closest(".question")), had = Number(select.value);
    if (had) {
      select.value = "";
      for (const other of places) if (Number(other.value) > had) other.value = String(Number(other.value) - 1);
    } else {
      const taken = new Set(places.map((each) => each.value));
      const free = () => places.map((_, k) => String(k + 1)).find((place) => !taken.has(place));
      select.value = free();
      taken.add(select.value);
      const open = places.filter((each) => !each.value);
      if (open.length === 1) open[0].value = free(); // the last one has no choice
    }
    select.dispatchEvent(new Event("input", { bubbles: true }));
  }
  const actions = {
    u: undo, s: () => pass("skip"), g: () => guidelines(), "?": () => find("#keys").showModal(),
    f: () => { find("details.flag", current).open = true; find("[name=reason]", current).focus(); },
  };
  const guidelines = () => find("dialog.guidelines", current).showModal();
  const single = find("#single-keys");
  if (single) {
    single.checked = store.get("single keys") ?? true;
    single.addEventListener("change", () => store.set("single keys", single.checked));
  }
  const isTyping = (target) => target.matches("textarea, select, input:not([type=radio], [type=checkbox], [type=hidden])");
  document.addEventListener("keydown", (event) => {
    if (!current || event.isComposing || event.defaultPrevented || find("dialog[open]")) return;
    const target = event.target instanceof Element ? event.target : document.body;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) return act(event, submit);
    if (event.key === "Escape" && isTyping(target)) return act(event, () => current.focus());
    if (isTyping(target)) return undefined;
    if (current.parts.some((part) => part.key(event))) return event.preventDefault();
    if (event.ctrlKey || event.metaKey || event.altKey) return undefined;
    if (event.key === "Enter") return target.closest("button, a, summary") ? undefined : act(event, submit);
    if (!single.checked) return undefined;
    const choice = current.keys.get(event.key);
    if (choice) return act(event, () => press(choice));
    return actions[event.key] && act(event, actions[event.key]);
  });
  function act(event, what) { event.preventDefault(); if (!event.repeat) what(); }
  document.addEventListener("click", (event) => {
    const what = event.target.closest?.("[data-do]")?.dataset.do;
    if (!what || !current) return;
    event.preventDefault();
    ({ undo, guidelines, keys: actions["?"] })[what]();
  });

  // Claims that the item names: from one to the next, its verdict, its source

  function claims(node) {
    return (list) => {
      const rows = all("[data-claim]", list), sources = all("[data-source]", node);
      const letters = new Map(sources.map((shown, k) => [LETTERS[k], shown]));
      for (const [letter, shown] of letters) if (letter) shown.textContent = letter;
      let at = 0;
      const select = (number) => {
        at = Math.max(0, Math.min(rows.length - 1, number));
        for (const [k, row] of rows.entries()) row.classList.toggle("at", k === at);
      };
      list.addEventListener("focusin", (event) => select(rows.indexOf(event.target.closest("[data-claim]"))));
      select(0);
      return {
        refresh() {},
        key(event) {
          if (event.altKey || event.ctrlKey || event.metaKey || !rows.length) return false;
          const verdicts = all("input[type=radio]", rows[at]), step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
          if (step) {
            select(at + step);
            (find("input:checked", rows[at]) ?? find("input", rows[at])).focus();
            rows[at].scrollIntoView({ block: "nearest" });
            return true;
          }
          if (!single.checked) return false;
          if ("123".includes(event.key)) { verdicts[Number(event.key) - 1].click(); verdicts[Number(event.key) - 1].focus(); return true; }
          const shown = letters.get(event.key), choice = find("select", rows[at]);
          if (!shown || !choice) return false;
          choice.value = choice.value === shown.dataset.source ? "" : shown.dataset.source;
          choice.dispatchEvent(new Event("input", { bubbles: true }));
          return true;
        },
      };
    };
  }

  // Passages: selected by mouse, finger or keys, kept as Unicode code points

  function marking(box) {
    const area = find(".markable", box), field = find("[data-marks]", box), list = find(".marks", box), line = find(".said", box);
    const chars = Array.from(area.textContent), kind = box.dataset.marking, sources = Number(box.dataset.sources ?? 0);
    const colours = new Map(all("[data-label]", box).map((button) => [button.dataset.label, [button.dataset.colour, button.textContent.trim()]]));
    const words = wordsOf(chars);
    let marks = [], chosen = null, anchor = 0, head = -1;

    const read = () => { try { marks = JSON.parse(field.value || "[]"); } catch { marks = []; } };
    function keep() {
      marks.sort((a, b) => a.start - b.start || a.end - b.end);
      field.value = marks.length ? JSON.stringify(marks) : "";
      draw();
      field.dispatchEvent(new Event("input", { bubbles: true }));
    }
    function draw() {
      const edges = [...new Set([0, chars.length, ...marks.flatMap((mark) => [mark.start, mark.end])])].filter((edge) => edge <= chars.length).sort((a, b) => a - b);
      area.replaceChildren(...edges.slice(0, -1).map((start, k) => {
        const text = chars.slice(start, edges[k + 1]).join(""), over = marks.filter((mark) => mark.start <= start && mark.end >= edges[k + 1]);
        if (!over.length) return document.createTextNode(text);
        const piece = document.createElement("mark"), top = over[over.length - 1];
        piece.className = `mark-${colours.get(top[kind])?.[0] ?? 0}${over.length > 1 ? " several" : ""}`;
        if (top.end === edges[k + 1]) piece.dataset.says = over.map((mark) => colours.get(mark[kind])?.[1] ?? "").join(", ");
        piece.textContent = text;
        return piece;
      }));
      list.replaceChildren(...marks.map(entry));
    }
    function entry(mark) {
      const item = document.createElement("li"), label = document.createElement("span"), words = document.createElement("bdi"), remove = document.createElement("button");
      const text = chars.slice(mark.start, mark.end).join("");
      label.className = `label mark-${colours.get(mark[kind])?.[0] ?? 0}`;
      label.textContent = colours.get(mark[kind])?.[1] ?? mark[kind];
      words.textContent = text.length > 120 ? `${text.slice(0, 118)} …` : text;
      remove.type = "button";
      remove.className = "quiet";
      remove.textContent = "Remove";
      remove.setAttribute("aria-label", `Remove ${label.textContent}: ${words.textContent}`);
      remove.addEventListener("click", () => { take(mark); area.focus(); });
      item.append(label, words, ...(sources ? [sourceOf(mark)] : []), remove);
      return item;
    }
    function sourceOf(mark) {
      const select = document.createElement("select");
      select.setAttribute("aria-label", "Source of this claim");
      select.append(new Option("no source", ""), ...Array.from({ length: sources }, (_, k) => new Option(`source ${k + 1}`, String(k))));
      select.value = mark.source ?? "";
      select.addEventListener("change", () => { mark.source = select.value === "" ? null : Number(select.value); keep(); });
      return select;
    }
    function take(mark) {
      marks = marks.filter((each) => each !== mark);
      keep();
      line.textContent = "Removed.";
    }
    function selected() {
      const selection = getSelection();
      if (!selection.rangeCount || selection.isCollapsed) return null;
      const range = selection.getRangeAt(0);
      if (!area.contains(range.startContainer) || !area.contains(range.endContainer)) return null;
      const before = document.createRange();
      before.setStart(area, 0);
      before.setEnd(range.startContainer, range.startOffset);
      let start = Array.from(before.toString()).length, end = start + Array.from(range.toString()).length;
      while (start < end && !chars[start].trim()) start += 1;
      while (end > start && !chars[end - 1].trim()) end -= 1;
      return start < end ? [start, end] : null;
    }
    function select(start, end) {
      const range = place(document.createRange(), [start, end]);
      const selection = getSelection();
      selection.removeAllRanges();
      selection.addRange(range);
      chosen = [start, end];
      const shown = range.getBoundingClientRect();
      if (shown.bottom > innerHeight - 90) scrollBy(0, shown.bottom - innerHeight + 90);
      else if (shown.top < 70) scrollBy(0, shown.top - 70);
    }
    function mark(label) {
      const place = selected() ?? chosen;
      if (!place) { line.textContent = "Select a passage first."; return; }
      const [start, end] = place, same = marks.find((each) => each.start === start && each.end === end);
      if (box.dataset.overlap !== "true") {
        if (marks.some((each) => each !== same && each.start < end && start < each.end)) { line.textContent = "This overlaps a mark. Remove that one first."; return; }
      }
      if (same && (box.dataset.overlap !== "true" || kind === "verdict")) same[kind] = label;
      else if (!same || same[kind] !== label) marks.push(kind === "verdict" ? { start, end, verdict: label, source: null } : { start, end, label });
      chosen = null;
      getSelection().removeAllRanges();
      keep();
      line.textContent = `Marked as ${colours.get(label)[1]}.`;
    }
    function onLine(step) {
      const rectangle = (k) => { const range = document.createRange(); return place(range, words[k]).getBoundingClientRect(); };
      const here = rectangle(head), middle = (r) => r.left + r.width / 2;
      let best = -1, row = null;
      for (let k = head + step; k >= 0 && k < words.length; k += step) {
        const there = rectangle(k);
        if (step > 0 ? there.top < here.bottom - 3 : there.bottom > here.top + 3) continue;
        if (row !== null && Math.abs(there.top - row) > 6) break;
        row ??= there.top;
        if (best < 0 || Math.abs(middle(there) - middle(here)) < Math.abs(middle(rectangle(best)) - middle(here))) best = k;
      }
      return best < 0 ? head : best;
    }
    function place(range, [start, end]) {
      const texts = document.createTreeWalker(area, NodeFilter.SHOW_TEXT);
      let at = 0, begun = false;
      for (let node = texts.nextNode(); node; node = texts.nextNode()) {
        const own = Array.from(node.data), unit = (where) => own.slice(0, Math.max(0, where - at)).join("").length;
        if (!begun && start < at + own.length) { range.setStart(node, unit(start)); begun = true; }
        if (begun && end <= at + own.length) { range.setEnd(node, unit(end)); break; }
        at += own.length;
      }
      return range;
    }

    for (const button of all("[data-label]", box)) {
      button.addEventListener("pointerdown", (event) => event.preventDefault()); // the selection must outlive the press
      button.addEventListener("click", () => mark(button.dataset.label));
    }
    document.addEventListener("selectionchange", () => { if (box.isConnected) chosen = selected() ?? (document.activeElement === area ? chosen : null); });
    area.addEventListener("pointerdown", () => { chosen = null; head = -1; });
    const RTL = () => getComputedStyle(area).direction === "rtl";
    read();
    draw();
    return {
      refresh() { read(); draw(); },
      key(event) {
        if (event.ctrlKey || event.metaKey || !words.length) return false;
        const inside = document.activeElement === area || document.activeElement === current || document.activeElement === document.body;
        if (!inside) return false;
        if (event.key === "Delete" || event.key === "Backspace") {
          const at = selected() ?? chosen ?? (head >= 0 ? words[head] : null);
          const under = at && marks.filter((each) => each.start < at[1] && at[0] < each.end).pop();
          if (under) take(under);
          return Boolean(under);
        }
        const step = { ArrowRight: RTL() ? -1 : 1, ArrowLeft: RTL() ? 1 : -1, ArrowDown: 1, ArrowUp: -1 }[event.key];
        if (!step) return false;
        area.focus({ preventScroll: true });
        if (event.altKey) {
          const now = selected() ?? words[Math.max(head, 0)], end = Math.min(chars.length, now[1] + step);
          if (end > now[0]) select(now[0], end);
          return true;
        }
        const next = head < 0 ? 0 : event.key === "ArrowDown" || event.key === "ArrowUp" ? onLine(step) : Math.max(0, Math.min(words.length - 1, head + step));
        anchor = event.shiftKey && head >= 0 ? anchor : next;
        head = next;
        select(Math.min(words[anchor][0], words[head][0]), Math.max(words[anchor][1], words[head][1]));
        return true;
      },
    };
  }
  function wordsOf(chars) {
    const text = chars.join(""), found = [];
    if (!Intl.Segmenter) {
      for (const word of text.matchAll(/[\p{L}\p{N}\p{M}_]+/gu)) found.push([Array.from(text.slice(0, word.index)).length, Array.from(text.slice(0, word.index + word[0].length)).length]);
      return found;
    }
    let at = 0;
    for (const part of new Intl.Segmenter(undefined, { granularity: "word" }).segment(text)) {
      const length = Array.from(part.segment).length;
      if (part.isWordLike) found.push([at, at + length]);
      at += length;
    }
    return found;
  }

  // Begin

  addEventListener("online", () => flush().then((why) => why || prefetch()));
  addEventListener("offline", () => showWaiting("network"));
  const last = find("#notice form.last [name=judgment]");
  if (last) last.closest("form").remove(); // undo is at hand below
  const first = find("article.work");
  if (first) show(first);
  flush().then((why) => {
    if (!why && desk.hasAttribute("data-done")) return;
    if (!why) prefetch();
  });
})();
