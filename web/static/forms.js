/* Forms: sent once, say what they do meanwhile, keep what was typed in this tab, lead to what is wrong. */

for (const form of document.querySelectorAll("form[data-once]")) {
  form.addEventListener("submit", (event) => {
    const button = event.submitter || form.querySelector("button");
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    button.setAttribute("aria-busy", "true");
    button.setAttribute("aria-disabled", "true");
    const words = button.querySelector("[data-busy]");
    if (words) { words.dataset.idle = words.textContent; words.textContent = words.dataset.busy; }
  });
}

// Refused because there was too much to do: sent again by itself, unless somebody is changing it.
for (const form of document.querySelectorAll("form[data-again]")) {
  const timer = setTimeout(() => form.requestSubmit(), Number(form.dataset.again) * 1000);
  form.addEventListener("input", () => clearTimeout(timer));
}

// Back from the next page: the form may be sent again.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    for (const button of form.querySelectorAll("[aria-busy]")) {
      button.removeAttribute("aria-busy");
      button.removeAttribute("aria-disabled");
      const words = button.querySelector("[data-idle]");
      if (words) words.textContent = words.dataset.idle;
    }
  }
});

// What was typed stays in this tab alone, for a step back or a reload.
for (const form of document.querySelectorAll("form[data-remember]")) {
  const name = `tiffin:${form.id}`;
  const fields = () => [...form.elements].filter((field) => field.name && field.type !== "hidden");
  let kept = {};
  try { kept = JSON.parse(sessionStorage.getItem(name) || "{}"); } catch { /* as if nothing were kept */ }
  for (const field of fields()) if (!field.value && kept[field.name]) field.value = kept[field.name];
  form.addEventListener("input", () => {
    sessionStorage.setItem(name, JSON.stringify(Object.fromEntries(fields().map((field) => [field.name, field.value]))));
  });
}

document.querySelector("[data-focus]")?.focus();
