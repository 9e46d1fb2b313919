// What the managers' pages do by themselves; without it a link or a button does the same.
"use strict";

// The question editor shows how the question will look.
const editor = document.getElementById("editor");
const preview = document.getElementById("preview");
let pause = 0, newest = 0;

async function look() {
  const mine = ++newest;
  const fields = new URLSearchParams(new FormData(editor));
  fields.delete("csrf");
  const answer = await fetch(`/manage/questions/preview?${fields}`).catch(() => null);
  if (answer?.ok && mine === newest) preview.innerHTML = await answer.text();  // made by templates that escape, as any page is
}

if (editor && preview) {
  editor.addEventListener("input", () => { clearTimeout(pause); pause = setTimeout(look, 300); });
  preview.addEventListener("submit", event => event.preventDefault());
}

// A page with data-again looks for news every so many seconds, while it is in sight and nobody works in it.
async function again() {
  const page = document.querySelector(".manage[data-again]");
  if (!page) return;
  const idle = !document.hidden && !page.contains(document.activeElement) && getSelection().isCollapsed;
  const answer = idle ? await fetch(location.href).catch(() => null) : null;
  if (answer?.ok) {
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector(".manage");
    if (fresh) page.replaceWith(fresh);
  }
  setTimeout(again, 1000 * page.dataset.again);
}

const page = document.querySelector(".manage[data-again]");
if (page) setTimeout(again, 1000 * page.dataset.again);

// A reviewer marks passages as annotators do, by mouse or finger; /work, where climbed items are handed out, has the keys too.
function marking(box) {
  const area = box.querySelector(".markable"), field = box.querySelector("[data-marks]"), list = box.querySelector(".marks");
  const said = box.querySelector(".said"), kind = box.dataset.marking, chars = Array.from(area.textContent);
  const names = new Map([...box.querySelectorAll("[data-label]")].map(button => [button.dataset.label, button.textContent.trim()]));
  let marks = [];
  try { marks = JSON.parse(field.value || "[]"); } catch { /* it was posted by hand */ }

  const draw = () => {
    field.value = marks.length ? JSON.stringify(marks) : "";
    list.replaceChildren(...marks.map(mark => {
      const item = document.createElement("li"), words = document.createElement("bdi"), remove = document.createElement("button");
      words.textContent = `${names.get(mark[kind])}: ${chars.slice(mark.start, mark.end).join("")}`;
      Object.assign(remove, { type: "button", className: "quiet", textContent: "Remove" });
      remove.addEventListener("click", () => { marks = marks.filter(each => each !== mark); draw(); });
      item.append(words, remove);
      return item;
    }));
  };
  const selected = () => {  // in Unicode code points
    const selection = getSelection();
    if (!selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0), before = document.createRange();
    if (!area.contains(range.startContainer) || !area.contains(range.endContainer)) return null;
    before.setStart(area, 0);
    before.setEnd(range.startContainer, range.startOffset);
    let start = Array.from(before.toString()).length, end = start + Array.from(range.toString()).length;
    while (start < end && !chars[start].trim()) start += 1;
    while (end > start && !chars[end - 1].trim()) end -= 1;
    return start < end ? { start, end } : null;
  };
  for (const button of box.querySelectorAll("[data-label]")) {
    button.addEventListener("pointerdown", event => event.preventDefault());  // the selection must outlive the press
    button.addEventListener("click", () => {
      const place = selected(), label = button.dataset.label;
      if (!place) { said.textContent = "Select a passage first."; return; }
      marks.push(kind === "verdict" ? { ...place, verdict: label, source: null } : { ...place, label });
      marks.sort((a, b) => a.start - b.start || a.end - b.end);
      draw();
      said.textContent = `Marked as ${names.get(label)}.`;
    });
  }
  draw();
}
if (!editor) document.querySelectorAll("[data-marking]").forEach(marking);
