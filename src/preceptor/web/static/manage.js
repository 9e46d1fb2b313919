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
