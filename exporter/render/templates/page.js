"use strict";
// Replaces only the parts that changed, so that scroll position, selection and unfolded details stay.
// When the server does not answer it says so; a reload would leave the browser's error page instead.
const lost = document.getElementById("lost");
const partsOf = (page) => [...page.querySelectorAll("[data-part]")];

function replaceChanged(fresh) {
  const [parts, news] = [partsOf(document), partsOf(fresh)];
  if (parts.length !== news.length) return location.reload(); // the first verdict, another version
  document.title = fresh.title;
  parts.forEach((part, index) => replacePart(part, news[index]));
}

function replacePart(part, next) {
  for (const { id, open } of part.querySelectorAll("details")) {
    next.querySelector(`#${CSS.escape(id)}`)?.toggleAttribute("open", open);
  }
  const selection = getSelection();
  const isSelected = !selection.isCollapsed && selection.containsNode(part, true);
  if (isSelected || part.outerHTML === next.outerHTML) return;
  const focused = part.contains(document.activeElement) && document.activeElement.parentElement.id;
  part.replaceWith(next);
  if (focused) document.querySelector(`#${CSS.escape(focused)} > summary`)?.focus();
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("./" + location.search, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.statusText);
    replaceChanged(new DOMParser().parseFromString(await answer.text(), "text/html"));
    lost.hidden = true;
  } catch {
    lost.hidden = false;
  }
}

setInterval(refresh, 1000 * document.body.dataset.seconds);
document.addEventListener("visibilitychange", refresh);
