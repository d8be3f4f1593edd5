// Pages refresh their live regions by requesting themselves. This script keeps a refresh from disturbing the user,
// and shows when it fails. Without scripts the pages work, but do not refresh.
"use strict";

const FIELDS = "input, select, textarea";

function isChanged(field) {
  if (field.type === "hidden") return false;
  if (field.matches("select")) {
    // If the page selects no option, the browser selects the first.
    const options = [...field.options];
    const initial = options.find((option) => option.defaultSelected) ?? options[0];
    return field.options[field.selectedIndex] !== initial;
  }
  if (field.matches("[type=checkbox], [type=radio]")) return field.checked !== field.defaultChecked;
  return field.value !== field.defaultValue;
}

// A region in use is not replaced: changed fields, selected text, and a focus that could not be restored.
function isInUse(region) {
  const focused = document.activeElement;
  const isFocused = region.contains(focused) && (focused.matches(FIELDS) || !focused.id);
  const isTyped = [...region.querySelectorAll(FIELDS)].some(isChanged);
  const selected = document.getSelection();
  const isSelected = !selected.isCollapsed && region.contains(selected.anchorNode);
  return isFocused || isTyped || isSelected;
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

// Refresh at once when the page becomes visible again.
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) document.querySelectorAll("[hx-get]").forEach((region) => htmx.trigger(region, "refresh"));
});

for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(failure, () => {
    document.body.dataset.stale = "";
  });
}

// On a phone, the filter would fill the screen. Without scripts it stays open.
if (matchMedia("(max-width: 48rem)").matches) {
  for (const details of document.querySelectorAll("details.fold")) details.removeAttribute("open");
}
