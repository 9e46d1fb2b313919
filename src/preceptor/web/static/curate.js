// The curation page's keys; without it the form does the same.
"use strict";
{
  const form = document.getElementById("decision"), single = document.getElementById("single-keys");
  const pick = action => { form.querySelector(`[name=action][value=${action}]`).checked = true; };
  const field = name => form.querySelector(`textarea[name=${name}]`);
  const writing = node => node.matches("textarea, select, input:not([type=radio]):not([type=checkbox])") || node.isContentEditable;

  // What a decision lacks, said by the browser where it is missing.
  const lacks = () => {
    const action = form.elements.action.value, answer = form.querySelector("[name=settled]"), reason = field("reason");
    const unanswered = action === "relabel" && !form.querySelector("[name=settled]:checked");
    const unexplained = (action === "reject" || form.elements.example.checked) && !reason.value.trim();
    if (unanswered) answer?.closest("details")?.setAttribute("open", "");
    answer?.setCustomValidity(unanswered ? "Choose the right answer." : "");
    reason.setCustomValidity(unexplained ? `Say why: ${action === "reject" ? "a rejection" : "an example"} needs a reason.` : "");
  };
  const decide = () => { lacks(); form.requestSubmit(); };
  form.querySelector("button").addEventListener("click", lacks);

  // What is chosen below an action chooses the action.
  form.addEventListener("input", event => {
    if (event.target.name === "settled" && form.elements.action.value !== "rewrite") pick("relabel");
    if (event.target.name === "text") pick("rewrite");
    lacks();
  });

  const acts = {
    k: () => { pick("keep"); decide(); },
    l: () => { pick("relabel"); lacks(); form.querySelector("[name=settled]:checked, [name=settled]")?.focus(); },
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
      if (event.key === "Enter") { event.preventDefault(); decide(); }
      return;
    }
    if (event.key === "Escape") { document.activeElement.blur(); return; }
    if (writing(document.activeElement)) return;
    if (event.key === "Enter" && !document.activeElement.matches("a, button, summary")) { event.preventDefault(); decide(); return; }
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
