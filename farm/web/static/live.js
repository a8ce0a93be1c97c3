// Keeps a page as it would be if it were loaded again: what changed is changed in place, so that
// nothing jumps, open details stay open and pictures are not fetched twice.
"use strict";

const main = document.querySelector("main");
const wait = () => 1000 * Number(main.dataset.every);

function same(old, fresh) {
  return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && old.id === fresh.id;
}

function attributes(old, fresh) {
  for (const { name } of [...old.attributes]) {
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
  for (const { name, value } of [...fresh.attributes]) {
    if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
}

function mend(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if (old.isEqualNode(fresh)) return;
  attributes(old, fresh);
  const known = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const kept = child.id ? known.get(child.id) : at;
    if (kept && same(kept, child) && (child.id || !kept.id)) {
      if (kept !== at) old.insertBefore(kept, at);
      mend(kept, child);
      at = kept.nextSibling;
    } else {
      old.insertBefore(document.importNode(child, true), at);
    }
  }
  while (at) {
    const next = at.nextSibling;
    at.remove();
    at = next;
  }
}

async function look() {
  if (document.hidden || main.contains(document.activeElement?.closest("form") ?? null)) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (answer.redirected) return location.reload();
    document.body.classList.toggle("away", !answer.ok);
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    mend(main, page.querySelector("main"));
  } catch {
    document.body.classList.add("away");
  }
}

async function follow() {
  await look();
  if (wait()) setTimeout(follow, wait());
}

if (wait()) setTimeout(follow, wait());
document.addEventListener("visibilitychange", () => wait() && look());
