// The curation page's keys; without it the form does the same.
"use strict";
{
  const form = document.getElementById("decision"), single = document.getElementById("single-keys");
  const pick = action => { form.querySelector(`[name=action][value=${action}]`).checked = true; };
  const field = name => form.querySelector(`textarea[name=${name}]`);
  const writing = node => node.matches("textarea, select, input:not([type=radio]):not([type=checkbox])") || node.isContentEditable;

  // What is chosen below an action chooses the action.
  form.addEventListener("input", event => {
    if (event.target.name === "settled" && form.elements.action.value !== "rewrite") pick("relabel");
    if (event.target.name === "text") pick("rewrite");
  });

  const acts = {
    k: () => { pick("keep"); form.requestSubmit(); },
    l: () => { pick("relabel"); form.querySelector("[name=settled]")?.focus(); },
    w: () => { pick("rewrite"); field("text").focus(); },
    x: () => { pick("reject"); field("reason").focus(); },
    r: () => field("reason").focus(),
    e: () => { const box = form.elements.example; box.checked = !box.checked; },
    n: () => document.getElementById("skip")?.click(),
    u: () => document.getElementById("undo")?.requestSubmit(),
  };

  document.addEventListener("keydown", event => {
    if (event.isComposing || event.altKey || event.metaKey) return;
    if (event.ctrlKey) {
      if (event.key === "Enter") { event.preventDefault(); form.requestSubmit(); }
      return;
    }
    if (event.key === "Escape") { document.activeElement.blur(); return; }
    if (writing(document.activeElement)) return;
    if (event.key === "Enter" && !document.activeElement.matches("a, button, summary")) { event.preventDefault(); form.requestSubmit(); return; }
    if (!single.checked || event.repeat) return;
    const answer = /^[1-8]$/.test(event.key) ? form.querySelectorAll(".answers > .option [name=settled]")[event.key - 1] : null;
    if (answer) { answer.checked = true; answer.dispatchEvent(new Event("input", { bubbles: true })); event.preventDefault(); return; }
    if (Object.hasOwn(acts, event.key)) { event.preventDefault(); acts[event.key](); }
  });

  const KEPT = "preceptor/curate/single keys";  // one-key shortcuts can be switched off, and stay it
  try { single.checked = localStorage.getItem(KEPT) !== "off"; } catch { /* nothing is kept here */ }
  single.addEventListener("change", () => { try { localStorage.setItem(KEPT, single.checked ? "on" : "off"); } catch { /* nor here */ } });
  single.closest("label").hidden = false;
}
