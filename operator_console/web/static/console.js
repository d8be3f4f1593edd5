// Pages renew what is live in them by asking for themselves again. This keeps that from getting in anybody's way,
// and says when it does not work. Without script the pages work as well; they are then as old as they are.
"use strict";

const FIELDS = "input, select, textarea";

function isChanged(field) {
  if (field.type === "hidden") return false;
  if (field.matches("select")) {
    // Where the page has chosen nothing, a browser chooses what stands first.
    const options = [...field.options];
    const ours = options.find((option) => option.defaultSelected) ?? options[0];
    return field.options[field.selectedIndex] !== ours;
  }
  if (field.matches("[type=checkbox], [type=radio]")) return field.checked !== field.defaultChecked;
  return field.value !== field.defaultValue;
}

// What somebody types or chooses, selects to copy, or has the focus on (where it could not be given back) stays.
function isInUse(region) {
  const focused = document.activeElement;
  const isHeld = region.contains(focused) && (focused.matches(FIELDS) || !focused.id);
  const isTyped = [...region.querySelectorAll(FIELDS)].some(isChanged);
  const selected = document.getSelection();
  const isSelected = !selected.isCollapsed && region.contains(selected.anchorNode);
  return isHeld || isTyped || isSelected;
}

function openIn(region) {
  return [...region.querySelectorAll("details[open][id]")].map((details) => details.id);
}

let opened = [];

document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden || isInUse(event.target)) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (isInUse(event.detail.target)) event.detail.shouldSwap = false;
  opened = openIn(event.detail.target);
});

document.addEventListener("htmx:afterSwap", () => {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
  delete document.body.dataset.stale;
});

// Whoever comes back to the page sees at once how it stands.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.querySelectorAll("[hx-get]").forEach((region) => htmx.trigger(region, "renew"));
});

for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(failure, () => {
    document.body.dataset.stale = "";
  });
}
